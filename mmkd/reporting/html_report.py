"""``mmkd.report``: compare finished runs on one page."""

import json
import math
import os
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from mmkd.reporting.content import build_content
from mmkd.reporting.page import MARK, render
from mmkd.reporting.run_folder import RunFolder, find_runs, read_folder
from mmkd.storage.atomic_write import write_atomically

NAME = 'report.html'


class StudentRun(Protocol):
    """A run of :func:`mmkd.distill`."""

    @property
    def work_dir(self) -> Path: ...

    @property
    def method(self) -> str: ...


class Result(Protocol):
    """What :func:`mmkd.distill` returns."""

    @property
    def runs(self) -> Sequence[StudentRun]: ...


def report(
    *runs: str | PathLike[str] | Result | StudentRun,
    out: str | PathLike[str] | None = None,
    predictions: bool = True,
) -> Path:
    """Write one HTML page about one or several runs, and its numbers as JSON beside it.

    The page needs no network and no other file. It says what was gained over the student alone and
    whether that is real, and shows the final table, what was run, curves of the metric and of each
    loss, AP or accuracy of each class, confusions, precision-recall of detectors, the images that
    gained and lost most, the similarity to the teacher, costs, and what ``mmkd.AdviceHook``
    advised. What a run lacks is listed.

    Args:
        runs: Work directories of runs, of mmkd or MMRazor; folders that hold several; or what
            :func:`mmkd.distill` returned.
        out: File to write, ``.html``. The JSON has the same name. Default: ``report.html`` in the
            folder of the only run, or in the folder that all runs are in (the working directory if
            that is the root).
        predictions: Predict the validation images with the last checkpoint of each run (once:
            they are kept in its folder as ``predictions.npz``), for classes, confusions and
            pictures. The config of the run's folder names model and data.

    Returns:
        The HTML file.

    Raises:
        FileExistsError: If ``out`` is a file that is no earlier report.
        FileNotFoundError: If a folder is missing, or has no run in it.
        ValueError: If no run is given, or ``out`` is no ``.html`` file.

    Example:
        >>> mmkd.report('work_dirs/pkd', 'work_dirs/student')  # doctest: +SKIP
        PosixPath('work_dirs/report.html')
    """
    if not isinstance(predictions, bool):
        raise TypeError(f'predictions: expected True or False, got {predictions!r}')
    folders = _read(runs)
    path = _checked(_default_out(folders) if out is None else Path(out))
    content = build_content(folders, predictions)
    page = render(content, path.with_suffix('.json').name)
    write_atomically(_json(content.facts).encode(), path.with_suffix('.json'))
    write_atomically(page.encode(), path)
    return path


def _read(runs: Sequence[Any]) -> list[RunFolder]:
    """Read the folders of all runs, each once."""
    methods: dict[Path, str | None] = {}
    for run in _each(runs):
        if isinstance(run, str | PathLike):
            for folder in find_runs(Path(run)):
                methods.setdefault(folder, None)
        elif hasattr(run, 'work_dir'):
            methods[find_runs(run.work_dir)[0]] = run.method
        else:
            raise TypeError(
                'run: expected a folder or the result of mmkd.distill, got '
                f'{run!r:.60} ({type(run).__name__})'
            )
    if not methods:
        raise ValueError('run: expected at least one work directory of a run, got none')
    different = {folder.resolve(): folder for folder in reversed(methods)}
    return [read_folder(folder, methods[folder]) for folder in reversed(different.values())]


def _each(runs: Iterable[Any]) -> Iterable[Any]:
    for run in runs:
        yield from run.runs if hasattr(run, 'runs') else [run]


def _default_out(folders: Sequence[RunFolder]) -> Path:
    if len(folders) == 1:
        return folders[0].path / NAME
    common = Path(os.path.commonpath([str(folder.path.absolute()) for folder in folders]))
    return (Path() if common == Path(common.anchor) else common) / NAME


def _checked(path: Path) -> Path:
    if path.suffix != '.html':
        raise ValueError(f'out: expected a .html file, got {path}')
    if path.is_dir():
        raise FileExistsError(f'out: expected a file, got the folder {path}')
    other = path.with_suffix('.json')
    is_ours = path.is_file() and MARK in path.read_text(errors='replace')[:1000]
    if not is_ours and (taken := next((each for each in (path, other) if each.exists()), None)):
        raise FileExistsError(f'out: {taken} exists and is no earlier report; choose another name')
    return path


def _json(facts: Any) -> str:
    return json.dumps(_finite(facts), indent=1, default=str, allow_nan=False) + '\n'


def _finite(value: Any) -> Any:
    """The same with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
