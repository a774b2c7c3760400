"""Arguments of a method's losses, as the caller gives them."""

import inspect
from collections.abc import Mapping
from typing import Any

from mmkd.registry import MODELS

Config = dict[str, Any]
# A short config allows these for every loss.
PLACES = ('on', 'inputs', 'student_connector', 'teacher_connector')


def set_options(losses: Mapping[str, Config], options: Mapping[str, Any]) -> None:
    """Set arguments of losses, in place.

    Args:
        losses: The short configs of the losses by name.
        options: Arguments by name, for each loss that takes them; or a dict of arguments under
            the name of one loss. A loss that compares one level (``cwd_stride8``) also listens to
            its name without the level (``cwd``).

    Raises:
        ValueError: If no loss takes an argument. Lists the losses and their arguments.

    Example:
        >>> losses = dict(mimic=dict(type='mmkd.MimicLoss', on='neck'))
        >>> set_options(losses, dict(loss_weight=2.0))
        >>> losses['mimic']['loss_weight']
        2.0
    """
    for key, value in options.items():
        named = [loss for name, loss in losses.items() if key in (name, name.split('_stride')[0])]
        settings, chosen = {key: value}, [*losses.values()]
        if named and isinstance(value, Mapping):
            settings, chosen = dict(value), named
        for argument, setting in settings.items():
            takers = [part for loss in chosen if (part := _taker(loss, argument)) is not None]
            if not takers:
                names = [name for name, loss in losses.items() if any(loss is c for c in chosen)]
                known = '; '.join(f'{n}: {", ".join(_arguments(losses[n]))}' for n in names)
                raise ValueError(
                    f'method_options: no loss takes {argument!r}; losses and arguments: {known}'
                )
            for taker in takers:
                taker[argument] = setting


def _taker(loss: Config, argument: str) -> Config | None:
    """The config that takes an argument: of the loss, or of the loss that it wraps."""
    if argument in PLACES or argument in _parameters(loss):
        return loss
    inner = loss.get('loss')
    if isinstance(inner, Mapping) and argument in _parameters(inner):
        return loss['loss']
    return None


def _arguments(loss: Config) -> list[str]:
    inner = loss.get('loss')
    return _parameters(loss) + (_parameters(inner) if isinstance(inner, Mapping) else [])


def _parameters(loss: Mapping[str, Any]) -> list[str]:
    with MODELS.switch_scope_and_registry('mmrazor') as registry:
        cls = registry.get(loss['type'])
    return [*inspect.signature(cls).parameters]
