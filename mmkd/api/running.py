"""Load a config, and run what it describes."""

import gc
from collections.abc import Sequence
from typing import Any

import torch.distributed as dist
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

import mmkd.registry  # noqa: F401
from mmkd.datasets.explained_errors import explain_empty_datasets, explain_unreadable_images


def load_config(path: str, options: dict[str, Any] | None = None) -> Config:
    """Load a config file, or a package's config, and merge options into it.

    Args:
        path: A file, or ``mmkd::path/of/config.py``.
        options: Settings by dotted key.
    """
    if '::' in path:
        path = Config._get_cfg_path(path, '')[0]
    cfg = Config.fromfile(path)
    if options:
        cfg.merge_from_dict(options)
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Build MMEngine's runner, or the one that the config names.

    A distillation gets the safety hooks that it lacks (see :mod:`mmkd.hooks.safety`).
    """
    if isinstance(cfg.get('visualizer'), dict):
        # Under one name, a second run in this process would log into the folder of the first.
        cfg.visualizer.pop('name', None)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def train(runner: Runner, hooks: Sequence[Hook] = ()) -> None:
    """Train. Errors name the empty data set or the file that is no image.

    Args:
        runner: The runner.
        hooks: Further hooks.
    """
    for hook in hooks:
        runner.register_hook(hook)
    with explain_empty_datasets(), explain_unreadable_images():
        runner.train()


def close_process_group() -> None:
    """Leave the process group, if there is one: its threads could abort the process at its end."""
    if dist.is_initialized():
        gc.collect()  # reference cycles of a runner hold the group as well
        dist.destroy_process_group()
