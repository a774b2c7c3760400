"""One training step and one validation batch of a written config."""

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from mmkd.api.running import build_runner, load_config, train
from mmkd.checking.setting_values import check_values
from mmkd.models.building import build_model
from mmkd.pairing.writing.runtime import TEACHER_HOOK
from mmkd.storage.atomic_write import save_atomically
from mmkd.teachers.frozen_teacher import ARGUMENTS

# What checks raise.
FORESEEN = (ValueError, TypeError, OSError, FloatingPointError, ImportError)
# Settings of loaders that need worker processes.
OF_WORKERS = ('persistent_workers', 'prefetch_factor', 'timeout', 'multiprocessing_context')


class _DataWarnings(logging.Handler):
    """Collects what is said about the data."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith(('train_dataloader:', 'val_dataloader:')):
            self.texts.append(f'warning: {text}')


class _StepTakenError(Exception):
    """Ends the training after its first step."""


class _OneStepHook(Hook):
    """Predicts one validation batch after the first training step, and stops."""

    priority = 'LOWEST'  # after the checks of the losses

    def __init__(self) -> None:
        self.done: list[str] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        self.done.append('one training step')
        if runner.val_loop is not None:
            runner.model.eval()
            batch = next(iter(runner.val_loop.dataloader))
            with torch.no_grad():
                samples = runner.model.val_step(batch)
            runner.val_loop.evaluator.process(data_samples=samples, data_batch=batch)
            self.done.append('one validation batch')
        raise _StepTakenError


def take_a_step(path: str | Path) -> str:
    """Train one step of a config, predict one validation batch, and leave nothing behind.

    Weights that would have to be downloaded are random. So are a teacher's that are not there yet.

    Args:
        path: A config file of mmkd.

    Returns:
        What was done, which weights were random, and warnings of the data.

    Raises:
        FileNotFoundError: If an image or a file is missing.
        FloatingPointError: If a loss is not finite.
        ValueError: If something does not fit.
    """
    cfg = load_config(str(path))
    check_values(cfg)  # before some are replaced
    with TemporaryDirectory() as folder:
        cfg.work_dir = folder
        cfg.log_level = 'WARNING'
        loaders = [cfg.get(f'{stage}_dataloader') for stage in ('train', 'val', 'test')]
        loaders.append(cfg.train_cfg.get('unlabeled_dataloader'))
        for loader in loaders:
            if loader:
                loader.num_workers = 0
                for key in OF_WORKERS:
                    loader.pop(key, None)
        hooks = cfg.get('custom_hooks') or []
        cfg.custom_hooks = [hook for hook in hooks if hook['type'] != TEACHER_HOOK]
        notes = _teacher_without_weights(cfg, Path(folder))
        hook, warnings = _OneStepHook(), _DataWarnings()
        # pycocotools prints its progress.
        with _named_failure(hook.done), contextlib.redirect_stdout(io.StringIO()):
            runner = build_runner(cfg)
            runner.logger.addHandler(warnings)
            notes += _without_downloads(runner.model)
            train(runner, [hook])
    return '; '.join([' and '.join(hook.done), *notes, *warnings.texts])


@contextlib.contextmanager
def _named_failure(done: list[str]) -> Iterator[None]:
    """End with the step; an error that no check foresaw says where it came up."""
    try:
        yield
    except _StepTakenError:
        return
    except FORESEEN:
        raise
    except Exception as error:
        where = 'validation batch' if done else 'training step'
        raise ValueError(f'the first {where}: {type(error).__name__}: {error}') from error


def _teacher_without_weights(cfg: Config, folder: Path) -> list[str]:
    """Give a teacher whose checkpoint is not on this machine random weights."""
    teacher: Any = cfg.model.get('teacher') or {}
    checkpoint = str(teacher.get('checkpoint'))
    remote = '://' in checkpoint
    if 'checkpoint' not in teacher or (not remote and Path(checkpoint).exists()):
        return []
    settings = {name: value for name, value in teacher.items() if name not in ARGUMENTS}
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        state_dict = build_model(settings).state_dict()
    teacher.checkpoint = str(folder / 'random_teacher.pth')
    save_atomically(dict(state_dict=state_dict), teacher.checkpoint)
    why = 'not downloaded for this check' if remote else 'not there yet'
    return [f"the teacher's weights were random: {checkpoint} is {why}"]


def _without_downloads(model: nn.Module) -> list[str]:
    """Drop initial weights from URLs. Returns which."""
    dropped = []
    module: Any
    for module in model.modules():
        several = getattr(module, 'init_cfg', None) or []
        for init_cfg in [several] if isinstance(several, Mapping) else several:
            if '://' in (checkpoint := str(init_cfg.get('checkpoint'))):
                module.init_cfg = None
                dropped.append(f'initial weights were random, not those of {checkpoint}')
    return dropped
