"""A run's folder: its config, what it logged, how far it came."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmkd.analysis.summary_table import columns_of
from mmkd.checking.config_file import read_config
from mmkd.exporting import student_config
from mmkd.hooks.advice import read_advice
from mmkd.reporting.run_log import RunLog, read_log
from mmkd.storage.latest_checkpoint import latest_checkpoint, named_checkpoint

# Folders below the given one in which runs are looked for.
DEPTH = 3


@dataclass
class RunFolder:
    """What a run left.

    Attributes:
        path: Work directory.
        config: The config that was trained; None if it cannot be read.
        log: What was logged.
        checkpoint: The last checkpoint; None without one.
        advice: What ``mmkd.AdviceHook`` said.
        problems: What is missing, a sentence each.
        method: Name of the method if the caller knows it.
    """

    path: Path
    config: Config | None
    log: RunLog
    checkpoint: Path | None
    advice: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    method: str | None = None

    @property
    def model(self) -> Mapping[str, Any]:
        """The config of the model, the algorithm's for a distillation."""
        found = None if self.config is None else self.config.get('model')
        return found if isinstance(found, Mapping) else {}

    @property
    def is_distilled(self) -> bool:
        """Whether a teacher taught, with mmkd's algorithms or MMRazor's own."""
        return 'architecture' in self.model and 'teacher' in self.model

    @property
    def seed(self) -> int | None:
        """The seed that the config sets."""
        seed = ((self.config or {}).get('randomness') or {}).get('seed')
        return seed if isinstance(seed, int) else None

    @property
    def losses(self) -> dict[str, Any]:
        """Configs of the distillation losses by name, without ``loss_``."""
        distiller = self.model.get('distiller') or {}
        found = {**(distiller.get('losses') or {}), **(distiller.get('distill_losses') or {})}
        return {name.removeprefix('loss_'): loss for name, loss in found.items()}

    @property
    def unit(self) -> str:
        """What the training counts: epochs or iterations."""
        return 'iteration' if self._length('max_iters') else 'epoch'

    @property
    def planned(self) -> int | None:
        """Epochs or iterations of the whole training."""
        return self._length('max_iters') or self._length('max_epochs')

    @property
    def reached(self) -> int:
        """The last epoch or iteration of which something is logged or saved."""
        key = 'iter' if self.unit == 'iteration' else 'epoch'
        steps = [int(row.get(key, 0)) for row in self.log.train[-1:]]
        steps += [int(row['step']) for row in self.log.validations[-1:]]
        if self._saved is not None:
            steps.append(self._saved)
        return max(steps, default=0)

    @property
    def is_finished(self) -> bool:
        """Whether there is a checkpoint or a validation of the end."""
        validated = [int(row['step']) for row in self.log.validations[-1:]]
        return self.planned is not None and self.planned in (self._saved, *validated)

    @property
    def _saved(self) -> int | None:
        """Epoch or iteration of the last checkpoint, if its name says it."""
        prefix = 'iter' if self.unit == 'iteration' else 'epoch'
        name = '' if self.checkpoint is None else self.checkpoint.stem
        found = re.fullmatch(rf'{prefix}_(\d+)', name)
        return None if found is None else int(found[1])

    @property
    def columns(self) -> dict[str, float]:
        """The metrics of the last validation, as tables show them."""
        rows = self.log.validations
        return columns_of({k: v for k, v in rows[-1].items() if k != 'step'}) if rows else {}

    @property
    def teacher_columns(self) -> dict[str, float]:
        """The teacher's metrics, if the run evaluated it."""
        return columns_of(self.log.teacher) if self.log.teacher else {}

    @property
    def teacher(self) -> dict[str, Any] | None:
        """Config of the teacher with its checkpoint; None for a plain run, or several teachers."""
        teacher = self.model.get('teacher') if self.is_distilled else None
        if not isinstance(teacher, Mapping) or 'members' in teacher:
            return None
        checkpoint = self.model.get('teacher_ckpt')  # MMRazor's algorithms
        return {**teacher, **({'checkpoint': checkpoint} if checkpoint else {})}

    @property
    def student(self) -> Config | None:
        """The config with the student in place of the distillation; None without a model."""
        if self.config is None or not self.model:
            return None
        plain = Config(student_config(self.config)._cfg_dict.to_dict())
        if plain.get('data_preprocessor') is not None:  # the runner hands it to the model
            plain.model.setdefault('data_preprocessor', plain.data_preprocessor)
        return plain

    def _length(self, key: str) -> int | None:
        value = ((self.config or {}).get('train_cfg') or {}).get(key)
        return value if isinstance(value, int) and value > 0 else None


def find_runs(path: str | Path) -> list[Path]:
    """Return a run's folder itself, or those of all runs in it.

    Raises:
        FileNotFoundError: If there is no such folder, or no run in it.
    """
    folder = Path(path)
    if not folder.is_dir():
        what = 'a file' if folder.exists() else 'no such folder'
        raise FileNotFoundError(
            f'run: expected the work directory of a run, got {folder} ({what}); '
            'it is the folder of `mmkd train --work-dir`'
        )
    level, found = [folder], []
    for _ in range(DEPTH + 1):
        found += [each for each in level if _is_run(each)]
        level = [
            below
            for each in level
            if each not in found
            for below in sorted(each.iterdir())
            if below.is_dir() and not below.name.startswith('.')
        ]
    if not found:
        raise FileNotFoundError(
            f'run: expected logs (*/vis_data/scalars.json) or a checkpoint (epoch_*.pth) of a '
            f'training in {folder}, found none'
        )
    return found


def _is_run(folder: Path) -> bool:
    return any(any(folder.glob(pattern)) for pattern in ('*/vis_data', 'epoch_*.pth', 'iter_*.pth'))


def read_folder(path: Path, method: str | None = None) -> RunFolder:
    """Read what is there of a run; what is not becomes one of its ``problems``."""
    log = read_log(path)
    problems: list[str] = []
    config = _config(path, log.started, problems)
    checkpoint = _checkpoint(path)
    if log.started is None:
        problems.append('no scalars are logged (vis_data/scalars.json), so there are no curves')
    elif not log.validations:
        problems.append('no validation is logged, so there is no metric of this run')
    if checkpoint is None:
        problems.append('no whole checkpoint is there')
    run = RunFolder(path, config, log, checkpoint, read_advice(path), problems, method)
    if run.planned is not None and not run.is_finished:
        problems.append(
            f'the training is not finished: {run.unit} {run.reached} of {run.planned}'
            ' (continue it with --resume)'
        )
    return run


def _config(path: Path, started: Path | None, problems: list[str]) -> Config | None:
    """The config of the last training, or the one beside its checkpoints."""
    files = [] if started is None else [started / 'config.py']
    files += sorted(
        (each for each in path.glob('*.py') if each.name != 'student.py'),
        key=lambda each: each.stat().st_mtime,
        reverse=True,
    )
    reasons: Sequence[str] = ['no config is there']
    for file in filter(Path.is_file, files):
        try:
            return read_config(str(file))
        except (ValueError, OSError, ImportError) as error:
            reasons = [' '.join(str(error).split())]
    problems.append(f'the config cannot be read ({reasons[0]}), so nothing can be predicted')
    return None


def _checkpoint(path: Path) -> Path | None:
    named = named_checkpoint(path)
    if named is not None:
        return named
    if not any(any(path.glob(f'{kind}_*.pth')) for kind in ('epoch', 'iter')):
        return None
    try:
        latest = latest_checkpoint(path)
    except FileNotFoundError:
        return None
    return None if latest is None else Path(latest)
