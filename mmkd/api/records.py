"""What a run leaves for the next call: its validations, and whether it is finished."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
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
        made_of: Digest of the config and of the files that it names; empty if it is not known.
    """

    history: list[Metrics] = field(default_factory=list)
    teacher: Metrics = field(default_factory=dict)
    checkpoint: str = ''
    made_of: str = ''

    @classmethod
    def read(cls, work_dir: Path) -> 'Record':
        """Read the record of a folder; an empty one if there is none."""
        try:
            record = cls(**json.loads((work_dir / FILE).read_text()))
        except (FileNotFoundError, TypeError, ValueError):
            return cls()
        kinds = ((record.history, list), (record.teacher, dict), (record.checkpoint, str))
        return record if all(isinstance(value, kind) for value, kind in kinds) else cls()

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
    """Keeps the metrics of each validation, also of those before a resumed run was interrupted.

    Args:
        made_of: Digest of the run's config and files, for the record.
    """

    def __init__(self, made_of: str = '') -> None:
        self.made_of = made_of
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
            Record(self.history, made_of=self.made_of).write(Path(runner.work_dir))


def digest_of(cfg: Config) -> str:
    """Return a digest of a config and of the files that it names: weights, annotations, configs."""
    settings = cfg.to_dict()
    digest = hashlib.sha256(json.dumps(settings, default=str, sort_keys=True).encode())
    for path in sorted({text for text in _texts(settings) if Path(text).is_file()}):
        with open(path, 'rb') as file:
            digest.update(hashlib.file_digest(file, 'sha256').digest())
    return digest.hexdigest()


def _texts(settings: Any) -> Iterator[str]:
    """The absolute paths among the values of settings."""
    if isinstance(settings, str) and settings.startswith('/'):
        yield settings
    elif isinstance(settings, Mapping | list | tuple):
        for value in settings.values() if isinstance(settings, Mapping) else settings:
            yield from _texts(value)


def checkpoints_in(work_dir: Path) -> list[str]:
    """Return the names of a run's checkpoints."""
    return sorted(p.name for kind in ('epoch', 'iter') for p in work_dir.glob(f'{kind}_*.pth'))
