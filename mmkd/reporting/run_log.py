"""What a run logged, from MMEngine's scalars.json."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, float]
# Keys of a row that are no results.
TIMES = ('step', 'epoch', 'iter', 'time', 'data_time', 'memory')


@dataclass
class RunLog:
    """The rows of a run, also of one that was interrupted and resumed.

    Attributes:
        train: Losses and learning rate of each logged step, with ``step`` (the iteration).
        validations: Metrics of each validation, with ``step`` (the epoch, or the iteration).
        teacher: Metrics of the teacher by their names in ``validations``.
        similarity: Values of ``mmkd.FeatureSimilarityHook``, with ``step`` (the epoch).
        started: Folder of the last training, with its config; None if nothing is logged.
    """

    train: list[Row] = field(default_factory=list)
    validations: list[Row] = field(default_factory=list)
    teacher: Row = field(default_factory=dict)
    similarity: list[Row] = field(default_factory=list)
    started: Path | None = None


def read_log(work_dir: Path) -> RunLog:
    """Read all logs of a folder in their order.

    A training that starts again replaces what it repeats: of a resumed run all that was logged
    before stays, of a run from the beginning nothing.
    """
    log = RunLog()
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        rows = [*_rows(file)]
        first = next((row for row in rows if 'loss' in row), None)
        if first is not None:
            _forget(log, first)
        if rows:
            log.started = file.parent
        for row in rows:
            _add(log, row)
    return log


def _rows(file: Path) -> Iterator[Row]:
    """The rows of a file; a killed run leaves the last one cut short."""
    for line in file.read_text(errors='replace').splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get('step'), int):
            yield {k: v for k, v in row.items() if type(v) in (int, float)}


def _forget(log: RunLog, first: Row) -> None:
    """Drop what is logged at or after the first step of a training."""
    step, epoch = first['step'], first.get('epoch', first['step'])
    log.train = [row for row in log.train if row['step'] < step]
    by_epoch = epoch != step
    begin = epoch if by_epoch else step
    log.validations = [row for row in log.validations if row['step'] < begin]
    log.similarity = [row for row in log.similarity if row['step'] < epoch]


def _add(log: RunLog, row: Row) -> None:
    results = {name: value for name, value in row.items() if name not in TIMES}
    if 'loss' in row:
        log.train.append(row)
    elif any(name.startswith('teacher/') for name in row):
        log.teacher |= {name.removeprefix('teacher/'): value for name, value in results.items()}
    elif any(name.startswith('similarity') for name in row):
        _replace(log.similarity, results | {'step': row['step']})
    elif results:
        _replace(log.validations, results | {'step': row['step']})


def _replace(rows: list[Row], row: Row) -> None:
    """Add a row in place of an earlier one of the same step."""
    rows[:] = [each for each in rows if each['step'] != row['step']] + [row]


def number(value: Any) -> float | None:
    """A value as JSON has it: NaN and infinity are None."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
