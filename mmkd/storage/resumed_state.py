"""Everything in a checkpoint that a run resumes from fits the run, or the run stops."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.hooks import EMAHook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn

from mmkd.storage.checkpoint import (
    CheckpointMismatchError,
    assert_numbers,
    hint,
    is_sharded,
    listed,
    load_fitting,
    state_dict_of,
)
from mmkd.storage.state_kinds import other_kinds, other_settings

# States of PyTorch's optimizers that have the shape of their parameter.
STATES = ('momentum_buffer', 'exp_avg', 'exp_avg_sq', 'max_exp_avg_sq', 'exp_inf', 'square_avg')
Rows = dict[str, list[str]]


def check_resumed(
    runner: Runner,
    model: nn.Module,
    checkpoint: Mapping[str, Any],
    source: str,
    *,
    optimizer: bool = True,
    schedulers: bool = True,
) -> None:
    """Compare a checkpoint with the run that resumes from it. Load the model's tensors.

    Args:
        runner: The run. Its optimizer and schedulers are built if they are not yet.
        model: Its model, without a wrapper. FSDP's is not checked.
        checkpoint: The file's content.
        source: Name of the file, for errors.
        optimizer: Whether the optimizer is resumed, too.
        schedulers: Whether the parameter schedulers are resumed, too.

    Raises:
        CheckpointMismatchError: Lists what is missing, left over, of another shape or type, in the
            model, its average (EMA), the optimizer and the schedulers. Names another teacher.
        ValueError: If the file is no checkpoint of a run, or has NaN.
    """
    _check_progress(checkpoint, source)
    if is_sharded(model):
        return
    state_dict = state_dict_of(checkpoint, source)
    rows = load_fitting(model, state_dict)
    rows['of another type'] = _other_types(model.state_dict(), state_dict)
    note = hint(state_dict, model) if any(rows.values()) else ''
    rows |= _ema_rows(runner, checkpoint)
    if optimizer:
        rows |= _optimizer_rows(runner, checkpoint)
    if schedulers:
        rows |= _scheduler_rows(runner, checkpoint)
    rows |= _meta_rows(runner, model, checkpoint['meta'])
    if any(rows.values()):
        raise CheckpointMismatchError(
            f'resume: {source} does not match the run{listed(rows)}{note}\nTo start a new run '
            'from its weights, set load_from=PATH and resume=False.'
        )
    assert_numbers(state_dict, source)
    infinite = [name for name, value in model.named_parameters() if value.isinf().any()]
    if infinite:
        raise ValueError(
            f'resume: expected numbers in {source}, got infinity; did its training diverge?'
            + listed({'infinite': infinite})
        )


def _check_progress(checkpoint: Mapping[str, Any], source: str) -> None:
    """Raise if the file does not say how far a run came."""
    parts = ('meta', 'message_hub', 'state_dict')
    missing = [part for part in parts if not isinstance(checkpoint.get(part), Mapping)]
    if missing:
        raise ValueError(
            f'resume: expected a checkpoint of a run in {source}, it has no {missing}; to start '
            'from its weights, set load_from=PATH and resume=False'
        )
    meta = checkpoint['meta']
    for name in ('epoch', 'iter'):
        value = meta.get(name)
        if type(value) is not int or value < 0:
            raise ValueError(f'resume: expected a count as meta.{name} in {source}, got {value!r}')
    seed = meta.get('seed')
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**32):
        raise ValueError(f'resume: expected a number as meta.seed in {source}, got {seed!r}')
    log = checkpoint['message_hub']
    for name in ('log_scalars', 'runtime_info', 'resumed_keys'):
        if not isinstance(log.get(name), Mapping):
            raise ValueError(f'resume: expected a dict as message_hub.{name} in {source}')
    for name, value in log['resumed_keys'].items():
        if type(value) is not bool:
            raise ValueError(
                f'resume: expected True or False as message_hub.resumed_keys.{name} in {source}, '
                f'got {value!r:.60}'
            )


def _other_types(own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> list[str]:
    return [
        f'{name}: the model has {own[name].dtype}, the file {value.dtype}'
        for name, value in saved.items()
        if name in own and own[name].dtype != value.dtype
    ]


def _ema_rows(runner: Runner, checkpoint: Mapping[str, Any]) -> Rows:
    """Compare the average of the weights with that of the run's ``EMAHook``."""
    averages = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
    saved = checkpoint.get('ema_state_dict')
    if not averages and saved is None:
        return {}
    if saved is None:
        return {'EMA': ['the run has an EMAHook, the file has no ema_state_dict']}
    if not averages:
        return {'EMA': ['the file has an ema_state_dict, the run has no EMAHook']}
    if not isinstance(saved, Mapping):
        return {'EMA': [f'expected a dict as ema_state_dict, got {saved!r:.60}']}
    own = averages[0].state_dict()
    rows = [
        *(f'{name}: missing in the file' for name in own.keys() - saved.keys()),
        *(f'{name}: not in the run' for name in saved.keys() - own.keys()),
        *(f'{name}: NaN' for name, value in saved.items() if _has_nan(value)),
    ]
    for name in own.keys() & saved.keys():
        shape = getattr(saved[name], 'shape', None)
        if shape != own[name].shape:
            rows.append(f'{name}: the run has {tuple(own[name].shape)}, the file {shape}')
    return {'EMA': rows}


def _optimizer_rows(runner: Runner, checkpoint: Mapping[str, Any]) -> Rows:
    wrapper = runner.optim_wrapper
    if wrapper is None:
        return {}
    runner.optim_wrapper = wrapper = runner.build_optim_wrapper(wrapper)
    saved = checkpoint.get('optimizer')
    if saved is None:
        remedy = 'best_* checkpoints have none, epoch_* and iter_* have one'
        return {'optimizer': [f'missing in the file ({remedy})']}
    if not isinstance(wrapper, OptimWrapperDict):
        return {'optimizer': [*_state_rows(runner, wrapper.optimizer, saved)]}
    if not isinstance(saved, Mapping):
        return {'optimizer': [f'expected a dict, got {saved!r:.60}']}
    rows = [f'{name}: only on one side' for name in {*wrapper.keys()} ^ {*saved}]
    for name, single in wrapper.items():
        if name in saved:
            found = _state_rows(runner, single.optimizer, saved[name])
            rows += [f'{name}: {row}' for row in found]
    return {'optimizer': rows}


def _state_rows(runner: Runner, optimizer: torch.optim.Optimizer, saved: Any) -> Iterator[str]:
    """Say what of one optimizer does not fit. Log the settings that the file brings."""
    if not isinstance(saved, Mapping) or not {'param_groups', 'state'} <= saved.keys():
        yield f'expected param_groups and state, got {saved!r:.60}'
        return
    groups, old_groups = optimizer.param_groups, saved['param_groups']
    if not isinstance(old_groups, list):
        yield f'param_groups: expected a list, got {old_groups!r:.60}'
        return
    if len(groups) != len(old_groups):
        yield f'param_groups: the run has {len(groups)}, the file {len(old_groups)}'
        return
    owners: dict[Any, Tensor] = {}
    for index, (group, old) in enumerate(zip(groups, old_groups, strict=True)):
        name = f'param_groups.{index}'
        ids = old.get('params') if isinstance(old, Mapping) else None
        if not isinstance(ids, list) or any(type(each) is not int for each in ids):
            yield f'{name}: expected a dict with numbered params, got {old!r:.60}'
            return
        if len(group['params']) != len(ids):
            yield f'{name}: the run has {len(group["params"])} parameters, the file {len(ids)}'
        yield from _group_rows(runner, optimizer, group, old, name)
        owners |= dict(zip(ids, group['params'], strict=False))
    yield from _moment_rows(saved['state'], owners)
    if saved['state'] and (bare := owners.keys() - saved['state'].keys()):
        runner.logger.warning(
            f'resume: the optimizer has no state of {len(bare)} of {len(owners)} parameters in the '
            'checkpoint; they were not trained, or the file is incomplete'
        )


def _group_rows(
    runner: Runner, optimizer: torch.optim.Optimizer, group: dict, old: Any, name: str
) -> Iterator[str]:
    own_only, old_only = sorted(group.keys() - old.keys()), sorted(old.keys() - group.keys())
    # Older PyTorch has fewer switches, which get their defaults; numbers have none.
    absent = optimizer.defaults.keys() - old.keys()
    absent = {key for key in absent if type(optimizer.defaults[key]) not in (bool, type(None))}
    if own_only and (old_only or absent):
        kind = type(optimizer).__name__
        yield f'{name}: {kind} has {own_only}, the file {old_only}'
        return
    settings = {key: value for key, value in group.items() if key != 'params'}
    problems = [*other_kinds(settings, old, name)]
    yield from problems
    if not problems:
        _log_settings(runner, f'optimizer.{name}', other_settings(group, old))


def _moment_rows(saved: Any, owners: Mapping[Any, Tensor]) -> Iterator[str]:
    """Say which states of single parameters do not fit."""
    if not isinstance(saved, Mapping):
        yield f'state: expected a dict, got {saved!r:.60}'
        return
    for key, states in saved.items():
        if key not in owners or not isinstance(states, Mapping):
            what = 'of no parameter' if key not in owners else f'a dict, got {states!r:.60}'
            yield f'state.{key}: {what}'
            continue
        for name, value in states.items():
            own, shape = owners[key].shape, getattr(value, 'shape', None)
            if name in STATES and value is not None and shape != own:
                yield f'state.{key}.{name}: the run has {tuple(own)}, the file {shape}'
            elif name == 'step':
                yield from other_kinds(0, value, f'state.{key}.step')
            elif _has_nan(value):
                yield f'state.{key}.{name}: NaN'


def _log_settings(runner: Runner, name: str, settings: list[str]) -> None:
    if settings:
        runner.logger.warning(
            f'resume: {name} keeps the settings of the checkpoint: {", ".join(settings)}. To train '
            'with those of the config, set load_from=PATH and resume=False'
        )


def _scheduler_rows(runner: Runner, checkpoint: Mapping[str, Any]) -> Rows:
    if runner.param_schedulers is None:
        return {}
    runner.param_schedulers = own = runner.build_param_scheduler(runner.param_schedulers)
    saved = checkpoint.get('param_schedulers')
    title = 'param_schedulers'
    if saved is None:
        return {title: ['missing in the file']} if own else {}
    pairs = own if isinstance(own, dict) else {'': own}
    old = saved if isinstance(saved, Mapping) else {'': saved}
    rows = []
    for name in pairs.keys() | old.keys():
        ours, theirs = pairs.get(name, []), old.get(name, [])
        if not isinstance(theirs, list) or not all(isinstance(each, Mapping) for each in theirs):
            rows.append(f'{name or "states"}: expected a list of dicts, got {theirs!r:.60}')
            continue
        if len(ours) != len(theirs):
            rows.append(f'{name or "count"}: the run has {len(ours)}, the file {len(theirs)}')
            continue
        for index, (scheduler, state) in enumerate(zip(ours, theirs, strict=True)):
            fresh, where = scheduler.state_dict(), f'{name}{index}'
            absent = sorted(fresh.keys() - {*state})
            problems = [*other_kinds(fresh, state, where)]
            if absent:
                problems.append(f'{where}: {type(scheduler).__name__} needs {absent}')
            elif state.get('param_name') != fresh.get('param_name'):
                problems.append(f'{where}.param_name: the file has {state["param_name"]!r:.60}')
            rows += problems
            if not problems:
                _log_settings(runner, f'param_schedulers.{where}', other_settings(fresh, state))
    return {title: rows}


def _meta_rows(runner: Runner, model: nn.Module, meta: Mapping[str, Any]) -> Rows:
    """Compare what a model says about itself beside its tensors, such as who its teacher is."""
    rows: Rows = {}
    for name, value in getattr(model, 'checkpoint_meta', dict)().items():
        if name not in meta:
            runner.logger.info(f'resume: the checkpoint does not say what its {name} was')
        elif meta[name] != value:
            rows[name] = [f"the run's {name} is {value}, the checkpoint's was {meta[name]}"]
    return rows


def _has_nan(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and bool(value.isnan().any())
