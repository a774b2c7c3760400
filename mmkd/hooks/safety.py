"""The hooks that every distillation runs, whatever hooks its config lists."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

# By their keys in `default_hooks`. MMEngine merges this dict, so a child config's list
# `custom_hooks` cannot drop them.
SAFETY_HOOKS = dict(
    data_check=dict(type='mmkd.DataCheckHook'),
    finite_loss=dict(type='mmkd.FiniteLossHook'),
    epoch_seed=dict(type='mmkd.EpochSeedHook'),
    missed_evaluation=dict(type='mmkd.MissedEvaluationHook'),
)
# MMEngine itself drops these where a config sets them to None.
MMENGINE_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
)
Hooks = Mapping[str, Any]


def add_safety_hooks(default_hooks: Hooks | None, custom_hooks: Sequence[Any] | None) -> dict:
    """Return the default hooks of a distillation, with the safety hooks that it lacks.

    ``default_hooks=dict(finite_loss=None)`` removes one on request. ``custom_hooks`` in place of
    the base config's removes none. A hook that stands in ``custom_hooks`` does not run twice.

    Args:
        default_hooks: Hooks, or their configs, by name.
        custom_hooks: Hooks, or their configs.
    """
    hooks = dict(default_hooks or {})
    custom = [_class(hook) for hook in custom_hooks or ()]
    for name, hook in SAFETY_HOOKS.items():
        hooks.setdefault(name, hook)
        if any(issubclass(each, _class(hook)) for each in custom):
            del hooks[name]
    return {k: v for k, v in hooks.items() if v is not None or k in MMENGINE_HOOKS}


def _class(hook: Any) -> type:
    """The class of a hook or of its config; ``object`` if there is none of that name."""
    kind = hook.get('type') if isinstance(hook, Mapping) else type(hook)
    if isinstance(kind, str):
        with HOOKS.switch_scope_and_registry(None) as registry:
            kind = registry.get(kind)
    return kind if isinstance(kind, type) and issubclass(kind, Hook) else object
