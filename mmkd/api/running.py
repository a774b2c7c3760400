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
from mmkd.checking.build_errors import explain_building
from mmkd.checking.config_file import read_config
from mmkd.checking.environment import check_environment
from mmkd.checking.setting_names import check_options, check_top_names
from mmkd.checking.setting_values import check_values
from mmkd.datasets.explained_errors import explain_empty_datasets, explain_unreadable_images


def load_config(path: str, options: dict[str, Any] | None = None) -> Config:
    """Load a config file, or a package's config, and merge options into it.

    Args:
        path: A file, or ``mmkd::path/of/config.py``.
        options: Settings by dotted key.

    Raises:
        FileNotFoundError: If there is no such file or package; close names are listed.
        ValueError: If it is no config, or a setting of it or an option is misspelled.
    """
    cfg = read_config(path)
    check_top_names(cfg)
    if options:
        check_options(cfg, options)
        cfg.merge_from_dict(options)
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Build MMEngine's runner, or the one that the config names.

    A distillation gets the safety hooks that it lacks (see :mod:`mmkd.hooks.safety`).

    Raises:
        ValueError: If a setting is misspelled or has a wrong value, or the machine does not fit.
    """
    check_top_names(cfg)
    check_values(cfg)
    check_environment(cfg)
    if isinstance(cfg.get('visualizer'), dict):
        # Under one name, a second run in this process would log into the folder of the first.
        cfg.visualizer.pop('name', None)
    with explain_building(cfg):
        return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def train(runner: Runner, hooks: Sequence[Hook] = ()) -> None:
    """Train. Errors name the empty data set or the file that is no image.

    Args:
        runner: The runner.
        hooks: Further hooks.
    """
    for hook in hooks:
        runner.register_hook(hook)
    with explain_building(runner.cfg), explain_empty_datasets(), explain_unreadable_images():
        runner.train()


def close_process_group() -> None:
    """Leave the process group, if there is one: its threads could abort the process at its end."""
    if dist.is_initialized():
        gc.collect()  # reference cycles of a runner hold the group as well
        dist.destroy_process_group()
