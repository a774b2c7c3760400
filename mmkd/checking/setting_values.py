"""Known settings have values of the right kind, which MMEngine would not check or not name."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from multiprocessing import get_all_start_methods
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import get_priority
from torch.distributed import Backend

Check = Callable[[Any], bool]


def _is_integer(value: Any) -> bool:
    return _is_number(value) and value == int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_hook(value: Any) -> bool:
    return value is None or isinstance(value, Hook) or (isinstance(value, Mapping) and bool(value))


def _is_priority(value: Any) -> bool:
    try:
        return get_priority(value) >= 0
    except (KeyError, TypeError, ValueError):
        return False


POSITIVE_INT = ('a positive integer', lambda value: _is_integer(value) and value > 0)
COUNT = ('an integer >= 0', lambda value: _is_integer(value) and value >= 0)
SAVING = ('a positive integer, or -1 for never', lambda v: _is_integer(v) and (v > 0 or v == -1))
POSITIVE = ('a finite number > 0', lambda value: _is_number(value) and value > 0)
WEIGHT = ('a finite number >= 0', lambda value: _is_number(value) and value >= 0)
WEIGHTS = (
    'a finite number >= 0',
    lambda value: (
        value is None
        or isinstance(value, Mapping | list | tuple)
        or (_is_number(value) and value >= 0)
    ),
)
FLAG = ('True or False', lambda value: isinstance(value, bool))
NAMES = (
    'a metric, several, auto or None',
    lambda v: v is None or isinstance(v, str | list | tuple),
)
RULE = ("'greater', 'less' or None", lambda v: v in (None, 'greater', 'less') or type(v) is list)
START = ("'fork', 'spawn' or 'forkserver'", lambda v: v in get_all_start_methods())
BACKEND = ('a backend of torch.distributed', lambda v: str(v).lower() in Backend.backend_list)
TEXT = ('a path', lambda value: value is None or (isinstance(value, str) and value != ''))
PRIORITY = ('a priority such as NORMAL, or 0 to 100', _is_priority)
MAPPING = ('a dict', lambda value: value is None or isinstance(value, Mapping))
BUILT = ('a dict or a built object', lambda v: v is None or not isinstance(v, str | int | float))
HOOK = ('the dict of a hook, or None', _is_hook)
LOSS = ('the dict of a loss', lambda value: isinstance(value, Mapping) and bool(value))
STEPS = ('a list of at least one step', lambda v: isinstance(v, list | tuple) and len(v) > 0)
LIST = ('a list', lambda value: value is None or isinstance(value, list | tuple))
SEED = ('an integer >= 0, or None', lambda v: v is None or (_is_integer(v) and v >= 0))
LEVEL = ('a level such as INFO', lambda v: _is_integer(v) or _is_integer(logging.getLevelName(v)))

# Settings by their place, with wildcards as in file names.
EXPECTED: dict[str, tuple[str, Check]] = {
    'train_cfg.max_epochs': POSITIVE_INT,
    'train_cfg.max_iters': POSITIVE_INT,
    'train_cfg.val_interval': POSITIVE_INT,
    'train_cfg.val_begin': COUNT,
    '*_dataloader.batch_size': POSITIVE_INT,
    '*_dataloader.num_workers': COUNT,
    '*_dataloader.dataset.pipeline': STEPS,
    'log_processor.window_size': POSITIVE_INT,
    '*data_preprocessor.pad_size_divisor': POSITIVE_INT,
    'find_unused_parameters': FLAG,
    'optim_wrapper.accumulative_counts': POSITIVE_INT,
    'optim_wrapper.optimizer.lr': POSITIVE,
    'optim_wrapper.optimizer.momentum': WEIGHT,
    'optim_wrapper.clip_grad.max_norm': POSITIVE,
    'optim_wrapper.optimizer.weight_decay': WEIGHT,
    'default_hooks.checkpoint.interval': SAVING,
    'default_hooks.logger.interval': POSITIVE_INT,
    'default_hooks.*.interval': SAVING,
    'custom_hooks.*.interval': SAVING,
    'default_hooks.checkpoint.max_keep_ckpts': SAVING,
    'default_hooks.*.priority': PRIORITY,
    'custom_hooks.*.priority': PRIORITY,
    'default_hooks.checkpoint.save_best': NAMES,
    'default_hooks.checkpoint.rule': RULE,
    '*.by_epoch': FLAG,
    'custom_hooks': LIST,
    'model': BUILT,
    'model.architecture': BUILT,
    'model.teacher': BUILT,
    'model.distiller': BUILT,
    'model.distiller.losses': MAPPING,
    'model.distiller.losses.*.tau': POSITIVE,
    'model.distiller.*.temperature': POSITIVE,
    'model.distiller.*.T': POSITIVE,
    'model.distiller.distill_losses.*.tau': POSITIVE,
    'model.*.loss_weight': WEIGHTS,
    'train_dataloader': MAPPING,
    'val_dataloader': MAPPING,
    'test_dataloader': MAPPING,
    'optim_wrapper': BUILT,
    'train_cfg': MAPPING,
    'default_hooks': MAPPING,
    'randomness': MAPPING,
    'randomness.deterministic': FLAG,
    'env_cfg': MAPPING,
    'env_cfg.cudnn_benchmark': FLAG,
    'env_cfg.mp_cfg.mp_start_method': START,
    'env_cfg.mp_cfg.opencv_num_threads': COUNT,
    'env_cfg.dist_cfg.backend': BACKEND,
    '*_dataloader.drop_last': FLAG,
    '*_dataloader.persistent_workers': FLAG,
    'randomness.seed': SEED,
    'auto_scale_lr': MAPPING,
    'auto_scale_lr.base_batch_size': POSITIVE_INT,
    'auto_scale_lr.enable': FLAG,
    'resume': FLAG,
    'load_from': TEXT,
    'work_dir': TEXT,
    'log_level': LEVEL,
}
REQUIRED = ('model', 'model.architecture', 'model.teacher', 'model.distiller')


def check_values(cfg: Config) -> None:
    """Check the settings of a run.

    Raises:
        ValueError: Names each setting, what is expected there, and what it is.
    """
    if 'model' not in cfg:
        raise ValueError(f'config: expected a `model`, got only {[*cfg]}')
    problems = [*_problems(cfg)]
    if problems:
        raise ValueError('\n  '.join(problems))
    for path, value in each_setting(cfg):
        if fnmatchcase(path, 'model.distiller.*'):
            for warning in _warnings(path, value):
                print_log(warning, 'current', logging.WARNING)


def _warnings(path: str, value: Any) -> Iterator[str]:
    """What a setting of the distiller does that its reader may not expect."""
    if path.endswith('.loss_weight') and value == 0:
        yield f'{path}: 0, so this loss has no effect'
    if isinstance(value, Mapping) and value.get('type') in ('DKDLoss', 'mmrazor.DKDLoss'):
        reduction = value.get('reduction')
        if reduction in ('mean', 'none'):
            yield (
                f"{path}.reduction: {reduction!r}, but MMRazor's DKDLoss then returns a sum; set "
                "'batchmean', its default, for the mean over samples"
            )


def _problems(cfg: Config) -> Iterator[str]:
    patterns: dict[str, list[str]] = {}
    for pattern in EXPECTED:
        patterns.setdefault(pattern.rpartition('.')[2], []).append(pattern)
    for path, value in each_setting(cfg):
        losses = path == 'model.distiller' and isinstance(value, Mapping)
        if losses and not (value.get('losses') or value.get('distill_losses')):
            yield f'{path}: expected at least one loss in `losses`, got {[*value]}'
        parent, _, key = path.rpartition('.')
        checks = [EXPECTED[each] for each in patterns.get(key, ()) if fnmatchcase(path, each)]
        if parent in ('default_hooks', 'custom_hooks'):
            checks = [HOOK]
        if parent == 'model.distiller.losses':
            checks = [LOSS]
        for expected, holds in checks[:1]:
            if not holds(value) or (value is None and path in REQUIRED):
                yield f'{path}: expected {expected}, got {value!r}'


def each_setting(node: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and value of every setting."""
    if isinstance(node, Mapping | Config):
        items: Any = node.items()
    elif isinstance(node, Sequence) and not isinstance(node, str):
        items = enumerate(node)
    else:
        return
    for key, value in items:
        place = f'{path}.{key}' if path else str(key)
        yield place, value
        yield from each_setting(value, place)
