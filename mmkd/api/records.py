"""What a run leaves for the next call: its validations, and whether it is finished."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmkd.storage.atomic_write import write_atomically

FILE = 'results.json'
Metrics = dict[str, Any]


@dataclass
class Record:
    """Results of a run, in ``results.json`` of its folder.

    Attributes:
        history: Metrics, epoch and iteration of each validation.
        teacher: Metrics of the teacher.
        checkpoint: File name of the finished student; empty while the run goes on.
    """

    history: list[Metrics] = field(default_factory=list)
    teacher: Metrics = field(default_factory=dict)
    checkpoint: str = ''

    @classmethod
    def read(cls, work_dir: Path) -> 'Record':
        """Read the record of a folder; an empty one if there is none."""
        try:
            return cls(**json.loads((work_dir / FILE).read_text()))
        except (FileNotFoundError, TypeError, ValueError):
            return cls()

    def write(self, work_dir: Path) -> None:
        """Write the record."""
        text = json.dumps(vars(self), indent=2, default=float)
        write_atomically(f'{text}\n'.encode(), work_dir / FILE)

    def metrics(self) -> dict[str, Metrics]:
        """The student's last metrics, and the teacher's."""
        last = self.history[-1] if self.history else {}
        student = {name: v for name, v in last.items() if name not in ('epoch', 'iteration')}
        return dict(student=student, teacher=self.teacher)

    def is_finished(self, work_dir: Path) -> bool:
        """Whether the student is there."""
        return bool(self.checkpoint) and (work_dir / self.checkpoint).is_file()


class HistoryHook(Hook):
    """Keeps the metrics of each validation, also of those before a resumed run was interrupted."""

    def __init__(self) -> None:
        self.history: list[Metrics] = []

    def before_train(self, runner: Runner) -> None:
        """Read the validations up to the resumed iteration."""
        earlier = Record.read(Path(runner.work_dir)).history if runner.iter > 0 else []
        self.history = [each for each in earlier if each['iteration'] <= runner.iter]

    def after_val_epoch(self, runner: Runner, metrics: Metrics | None = None) -> None:
        """Keep the metrics."""
        self.history = [each for each in self.history if each['iteration'] != runner.iter]
        self.history.append(dict(epoch=runner.epoch, iteration=runner.iter, **(metrics or {})))
        if is_main_process():
            Record(self.history).write(Path(runner.work_dir))


def checkpoints_in(work_dir: Path) -> list[str]:
    """Return the names of a run's checkpoints."""
    return sorted(p.name for kind in ('epoch', 'iter') for p in work_dir.glob(f'{kind}_*.pth'))
