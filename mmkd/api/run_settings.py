"""Settings of a run beside models and method: length, batch size, learning rate, seed, logs."""

import contextlib
import copy
import importlib.util
import io
import math
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Literal

from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmkd.checking.build_errors import explain_building
from mmkd.datasets.explained_errors import explain_empty_datasets
from mmkd.pairing.writing.runtime import scaled_learning_rate
from mmkd.pairing.writing.settings import Settings, without_scope
from mmkd.registry import DATASETS

Launcher = Literal['none', 'pytorch', 'slurm', 'mpi']
# Where each launcher leaves the number of processes.
PROCESSES = dict(pytorch='WORLD_SIZE', slurm='SLURM_NTASKS', mpi='OMPI_COMM_WORLD_SIZE')


def process_count(launcher: Launcher) -> int:
    """Return how many processes the launcher has started."""
    return int(os.environ.get(PROCESSES.get(launcher, ''), 1))


def epoch_length(
    cfg: Config,
    settings: Settings,
    launcher: Launcher,
    files: Mapping[Path, str] | None = None,
    batch_size: int | None = None,
) -> int | None:
    """Return the iterations of an epoch, or None if the training data is not there.

    Args:
        cfg: Config of the student's training.
        settings: What the run changes in it.
        launcher: How the processes were started.
        files: Annotation files that are not written yet, with their text.
        batch_size: The batch size that the caller asks for.

    Raises:
        ValueError: If there are not that many images.
    """
    changes = copy.deepcopy(settings.get('train_dataloader') or {})
    changed = Config(dict(train_dataloader=copy.deepcopy(cfg.get('train_dataloader') or {})))
    changed.merge_from_dict(dict(train_dataloader=changes))
    loader = innermost = changed.train_dataloader
    while isinstance(innermost.get('dataset'), Mapping):
        innermost = innermost.dataset
    if innermost is loader or not isinstance(loader.get('batch_size'), int):
        return None
    if 'pipeline' in innermost:
        innermost.pipeline = []
    text = (files or {}).get(Path(innermost.get('ann_file', '')))
    scope = DefaultScope.overwrite_default_scope(cfg.get('default_scope'))
    try:
        # pycocotools prints its progress.
        with (
            scope,
            explain_building(changed),
            explain_empty_datasets(),
            contextlib.redirect_stdout(io.StringIO()),
            NamedTemporaryFile('w', suffix=Path(innermost.get('ann_file', '')).suffix) as file,
        ):
            if text is not None:
                file.write(text)
                file.flush()
                innermost.ann_file = file.name
            images = len(DATASETS.build(loader.dataset))
    except OSError:
        return None
    if batch_size is not None and batch_size > images:
        raise ValueError(
            f'batch_size: expected at most the number of training images, {images}, got '
            f'{batch_size}'
        )
    return max(1, math.ceil(images / (loader.batch_size * process_count(launcher))))


def batch_settings(
    cfg: Config,
    batch_size: int | None,
    auto_scale_lr: bool,
    options: Mapping[str, Any],
    launcher: Launcher,
) -> tuple[Settings, list[str]]:
    """Return settings of another batch size, and what becomes of the learning rate.

    Args:
        cfg: Config of the student's training.
        batch_size: Training images per process.
        auto_scale_lr: The caller asks for a scaled learning rate.
        options: Nested settings that the caller gives.
        launcher: How the processes were started.

    Raises:
        ValueError: If the learning rate has to be scaled and the config does not name the batch
            size that it belongs to.
    """
    settings: Settings = {}
    if batch_size is not None:
        settings['train_dataloader'] = dict(batch_size=batch_size)
    elif not auto_scale_lr:
        return settings, []
    given = (options.get('optim_wrapper') or {}).get('optimizer') or {}
    rate = given.get('lr', (cfg.get('optim_wrapper') or {}).get('optimizer', {}).get('lr'))
    base = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
    if not auto_scale_lr:
        if 'lr' in given:
            return settings, [f'{rate}, as options set it']
        if 'enable' in (options.get('auto_scale_lr') or {}):
            return settings, ['as options set auto_scale_lr']
        if base is None:
            return settings, [
                f'{rate} stays: the config does not name the batch size that it belongs to '
                '(auto_scale_lr.base_batch_size)'
            ]
    settings |= scaled_learning_rate(cfg)
    images = batch_size or (cfg.get('train_dataloader') or {}).get('batch_size')
    if not isinstance(rate, int | float) or not isinstance(images, int) or base is None:
        return settings, [f'scaled by the images of a step over the {base} that it belongs to']
    total = images * process_count(launcher)
    return settings, [f'{rate:g} for {base} images a step -> {rate * total / base:g} for {total}']


def seed_settings(seed: int, options: Mapping[str, Any]) -> Settings:
    """Return settings of a run with a seed.

    Raises:
        ValueError: If the options set another one.
    """
    if 'seed' in (options.get('randomness') or {}):
        raise ValueError(
            f'seeds: expected the seed in one place, got {seed} and randomness.seed='
            f'{options["randomness"]["seed"]} in options; leave out one of them'
        )
    return dict(randomness=dict(seed=seed))


def tensorboard_settings(cfg: Config) -> Settings:
    """Return settings that log for TensorBoard, too.

    Raises:
        ValueError: If TensorBoard is not installed.
    """
    if importlib.util.find_spec('tensorboard') is None:
        raise ValueError('tensorboard: not installed; pip install tensorboard, or leave it out')
    visualizer = cfg.get('visualizer') or dict(type='Visualizer')
    backends = visualizer.get('vis_backends') or [dict(type='LocalVisBackend')]
    backends = without_scope([*backends], cfg.get('default_scope'))
    if not any(backend['type'].endswith('TensorboardVisBackend') for backend in backends):
        backends.append(dict(type='TensorboardVisBackend'))
    return dict(visualizer=dict(type=visualizer['type'], vis_backends=backends))
