"""Checks of the arguments that `mmkd.plan` and `mmkd.distill` share."""

import os
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

MAX_SEED = 2**32 - 1  # NumPy's
# Settings that an argument sets as well.
OF_ARGUMENTS = {'train_cfg.max_epochs': 'epochs', 'train_dataloader.batch_size': 'batch_size'}


def checked_count(name: str, value: Any) -> int | None:
    """Return a number of things, of which there is at least one; None stays None.

    Raises:
        ValueError: If it is no positive whole number.
    """
    if value is not None and not (_is_whole(value) and value > 0):
        raise ValueError(f'{name}: expected a positive whole number, got {value!r}')
    return None if value is None else int(value)


def checked_seed(name: str, value: Any) -> int:
    """Return a seed.

    Raises:
        ValueError: If it is no seed of NumPy.
    """
    if not _is_whole(value) or not 0 <= value <= MAX_SEED:
        raise ValueError(f'{name}: expected a whole number from 0 to {MAX_SEED}, got {value!r}')
    return int(value)


def checked_seeds(seeds: int | Sequence[int] | None) -> list[int] | None:
    """Return the seeds as a list; None stays None.

    Raises:
        ValueError: If there is none, one is no seed of NumPy, or one stands there twice.
    """
    if seeds is None:
        return None
    listed = [seeds] if isinstance(seeds, str) or not hasattr(seeds, '__iter__') else [*seeds]
    if not listed:
        raise ValueError(f'seeds: expected whole numbers, such as (0, 1, 2), got {seeds!r}')
    several = [checked_seed('seeds', seed) for seed in listed]
    if len({*several}) < len(several):
        raise ValueError(f'seeds: expected different seeds, got {several}')
    return several


def checked_options(name: str, options: Any) -> Mapping[str, Any]:
    """Return options by name; none if there are none.

    Raises:
        TypeError: If it is no dict with names as its keys.
    """
    options = {} if options is None else options
    if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
        raise TypeError(f'{name}: expected a dict of values by name, got {options!r}')
    return options


def check_data(data: Any) -> None:
    """Check that data is a folder or a dict, if it is given.

    Raises:
        TypeError: If it is neither.
    """
    if not (data is None or isinstance(data, str | os.PathLike | Mapping)):
        raise TypeError(f'data: expected a folder, or dict(train=..., val=...), got {data!r}')


def check_paths(**paths: Any) -> None:
    """Check that paths are paths.

    Raises:
        TypeError: Names the argument.
    """
    for name, path in paths.items():
        if not isinstance(path, str | os.PathLike) or not os.fspath(path):
            raise TypeError(f'{name}: expected a path, got {path!r}')


def check_switches(**switches: Any) -> None:
    """Check that switches are on or off.

    Raises:
        TypeError: Names the argument.
    """
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise TypeError(f'{name}: expected True or False, got {value!r}')


def check_places(options: Mapping[str, Any], **arguments: Any) -> None:
    """Check that no option sets what an argument sets.

    Raises:
        ValueError: Names both.
    """
    if 'work_dir' in options:
        raise ValueError(
            'options: work_dir: expected the folder as the argument work_dir (--work-dir), in '
            'which each run gets a folder'
        )
    for option, argument in OF_ARGUMENTS.items():
        if option in options and arguments[argument] is not None:
            raise ValueError(
                f'{argument}: expected in one place, got {arguments[argument]} and '
                f'{option}={options[option]} in options; leave out one of them'
            )


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
