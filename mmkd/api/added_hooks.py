"""The hooks that every distillation runs, whatever hooks its config lists."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import HOOKS

from mmkd.pairing.writing.runtime import SAFETY_HOOKS

# MMEngine drops only these where a config sets them to None.
MMENGINE_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
)


def add_safety_hooks(cfg: Config) -> None:
    """Add the safety hooks that the config of a distillation lacks.

    ``default_hooks=dict(finite_loss=None)`` removes one on request. ``custom_hooks`` in place of
    the base config's removes none. A hook that stands in ``custom_hooks`` does not run twice.

    Args:
        cfg: Config of a run, which is changed.
    """
    hooks = dict(cfg.get('default_hooks') or {})
    model = cfg.get('model')
    if isinstance(model, Mapping) and {'architecture', 'distiller'} <= set(model):
        for name, hook in SAFETY_HOOKS.items():
            hooks.setdefault(name, hook)
    scope = cfg.get('default_scope')
    custom = [_class(hook, scope) for hook in cfg.get('custom_hooks') or ()]
    for name, hook in [*hooks.items()]:
        known = _class(SAFETY_HOOKS.get(name), scope)
        listed = known is not None and any(each and issubclass(each, known) for each in custom)
        if listed or (hook is None and name not in MMENGINE_HOOKS):
            del hooks[name]
    if hooks:
        cfg.default_hooks = hooks


def _class(hook: Any, scope: str | None) -> type | None:
    """The class of a hook or of its config; None if there is none of that name."""
    kind = hook.get('type') if isinstance(hook, Mapping) else type(hook)
    if isinstance(kind, str):
        with HOOKS.switch_scope_and_registry(scope) as registry:
            kind = registry.get(kind)
    return kind if isinstance(kind, type) else None
