"""Names of settings: a typo of a known name is an error, also where MMEngine would ignore it."""

import importlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import mmengine.registry
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from mmkd.checking.close_names import did_you_mean
from mmkd.checking.setting_values import each_setting
from mmkd.hooks.safety import MMENGINE_HOOKS, SAFETY_HOOKS
from mmkd.models.building import model_config
from mmkd.teachers.frozen_teacher import ARGUMENTS

# What MMEngine's runner and its config read.
TOP = frozenset({*inspect.signature(Runner.__init__).parameters} - {'self', 'cfg'}) | {
    'compile',
    'custom_imports',
    'device',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'unlabeled_dataloader',
}
# What the test scripts of MMDetection and MMPretrain read.
EVALUATION = frozenset({'tta_model', 'tta_pipeline'})
# Variables of published configs that look like typos of these.
HELPERS = frozenset({'conv_cfg', 'gallery_dataloader', 'unlabeled_dataset'})
CUTOFF = 0.8  # of difflib, where other names are possible


def _arguments(*callables: Any) -> set[str]:
    """Names of the arguments of classes and functions."""
    return {name for each in callables for name in inspect.signature(each).parameters} - {'self'}


# Classes of settings without a `type`.
DEFAULTS = {'optim_wrapper': 'OptimWrapper'}
# What dicts take beside the arguments of their `type`, if they have one.
TAKEN: dict[str, set[str]] = {
    'train_cfg': _arguments(EpochBasedTrainLoop, IterBasedTrainLoop) | {'type', 'by_epoch'},
    'optim_wrapper': {'constructor', 'paramwise_cfg', 'loss_scale', 'dtype'},
    'randomness': _arguments(Runner.set_randomness),
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'default_hooks': {*MMENGINE_HOOKS, *SAFETY_HOOKS, 'visualization'},
    'optim_wrapper.paramwise_cfg': {
        'bias_decay_mult',
        'bias_lr_mult',
        'bypass_duplicate',
        'custom_keys',
        'dcn_offset_lr_mult',
        'decay_rate',
        'decay_type',
        'dwconv_decay_mult',
        'flat_decay_mult',
        'layer_decay_rate',
        'norm_decay_mult',
        'num_layers',
    },
    **{
        f'{stage}_dataloader.dataset.data_prefix': {'img', 'img_path', 'seg', 'ann'}
        for stage in ('train', 'val', 'test')
    },
    **{
        f'{stage}_dataloader': _arguments(DataLoader) | {'dataset', 'sampler', 'batch_sampler'}
        for stage in ('train', 'val', 'test')
    },
}


def check_top_names(cfg: Config) -> None:
    """Check that no setting of the config's top level is a typo, which MMEngine would ignore.

    Raises:
        ValueError: Names the setting and what was probably meant.
    """
    for place in ('auto_scale_lr', 'env_cfg', 'optim_wrapper.paramwise_cfg'):
        node: Any = cfg
        for part in place.split('.'):
            node = node.get(part) if isinstance(node, Mapping | Config) else None
        for name in node if isinstance(node, Mapping) else ():
            close = did_you_mean(name, TAKEN[place], CUTOFF)
            if close and name not in TAKEN[place]:
                raise ValueError(f'{place}.{name}: no such setting{close}')
    for name in cfg:
        close = did_you_mean(name, TOP, CUTOFF)
        variant = any(name.startswith(f'{known}_') for known in TOP)  # such as val_evaluator_full
        if close and name not in TOP | HELPERS and not variant:
            raise ValueError(f'{name}: no setting of MMEngine{close}')


def check_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Check that options change settings that exist, or that the object there takes.

    Args:
        cfg: The config, before the options are merged.
        options: Values by dotted key.

    Raises:
        ValueError: Names the option, and what was probably meant.
    """
    for option in options:
        parts = option.split('.')
        if parts[0] not in TOP | EVALUATION:
            raise ValueError(f'{option}: {_no_top_name(cfg, parts[0])}')
        node: Any = cfg
        for depth, part in enumerate(parts):
            place = '.'.join(parts[:depth])
            if isinstance(node, list | tuple):
                if not part.isdecimal() or int(part) >= len(node):
                    raise ValueError(
                        f'{option}: expected an index below {len(node)} after {place}, got {part!r}'
                    )
                node = node[int(part)]
                continue
            if not isinstance(node, Mapping | Config):
                raise ValueError(f'{option}: {place} is {node!r}, which has no settings')
            if 'cfg_path' in node:
                overrides = {key: v for key, v in node.items() if key not in ARGUMENTS}
                node = {**node, **model_config(**overrides)[0]}
            if part not in node:
                if f'{place}.{part}.type'.lstrip('.') not in options:
                    kind = options.get(f'{place}.type', node.get('type', DEFAULTS.get(place)))
                    _check_new(option, part, node, place, kind, cfg.get('default_scope'))
                if '.'.join(parts[: depth + 1]) not in TAKEN:
                    break
            node = node.get(part) or {}


def _no_top_name(cfg: Config, name: str) -> str:
    """What is wrong with the first part of an option that MMEngine does not read."""
    paths: dict[str, str] = {}
    for path, _ in each_setting({key: cfg[key] for key in TOP if key in cfg}):
        paths.setdefault(path.rpartition('.')[2], path)
    paths |= {known: known for known in TOP}
    hint = did_you_mean(name, paths)
    if hint:
        start, mean, names = hint.rstrip('?').partition(' mean ')
        hint = f'{start}{mean}{" or ".join(paths[each] for each in names.split(" or "))}?'
    if name in cfg:
        return f'a variable of the config file, which nothing reads later{hint}'
    return f'no setting of MMEngine{hint}'


def _check_new(
    option: str, name: str, node: Mapping, place: str, kind: Any, scope: str | None
) -> None:
    """Check a new setting of a dict: one that its class takes, or else no typo of another."""
    known, complete = {*node, '_delete_', *TAKEN.get(place, ())}, place in TAKEN
    if not place:
        known, complete = {*TOP, *EVALUATION}, True
    elif kind is not None or place not in TAKEN:
        taken, complete = _arguments_of(kind, scope)
        known |= taken | ({*ARGUMENTS} if 'cfg_path' in node else set())
    hint = did_you_mean(name, known, 0.6 if complete else CUTOFF)
    if name not in known and (complete or hint):
        listed = f'; expected one of {sorted(known - {"_delete_", "_scope_"})}'
        raise ValueError(f'{option}: {name} is no setting of {place}{hint or listed}')


def _arguments_of(kind: Any, scope: str | None) -> tuple[set[str], bool]:
    """Arguments of what a `type` stands for, and whether it takes no others."""
    classes = [*_classes(kind, scope)]
    names, complete = {'type'}, bool(classes)
    for each in classes:
        for base in inspect.getmro(each) if isinstance(each, type) else [each]:
            init = getattr(base, '__init__') if isinstance(each, type) else base  # noqa: B009
            parameters = inspect.signature(init).parameters.values()
            names |= {p.name for p in parameters} - {'self', 'args', 'kwargs'}
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
        else:
            complete = False
    return names, complete


def _classes(kind: Any, scope: str | None) -> Iterator[Any]:
    """What a `type` may stand for, in any registry."""
    if not isinstance(kind, str):
        yield from [kind] if callable(kind) else []
        return
    importlib.import_module(f'{scope or "mmengine"}.registry')
    for registry in [*vars(mmengine.registry).values()]:
        if isinstance(registry, Registry):
            try:
                found = registry.children.get(scope, registry).get(kind)
            except (RuntimeError, ImportError):
                continue
            if found is not None:
                yield found
