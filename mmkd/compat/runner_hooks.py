"""MMEngine's runner gives each of mmkd's distillations its safety hooks.

So they run with OpenMMLab's own tools as well, and whatever lists of hooks a config has.
"""

import functools
import sys
from types import ModuleType
from typing import Any

from mmkd.compat.import_hooks import after_import


def _distills(model: Any) -> bool:
    algorithms = sys.modules.get('mmkd.algorithms')
    if algorithms is None:  # then nothing of it is built
        return False
    from mmkd.models.model_wrapper import unwrap_model

    return isinstance(unwrap_model(model), algorithms.FrozenTeacherDistill)


def _add_safety_hooks(runner: ModuleType) -> None:
    register = runner.Runner.register_hooks

    @functools.wraps(register)
    def register_hooks(self: Any, default_hooks: Any = None, custom_hooks: Any = None) -> None:
        if _distills(self.model):
            from mmkd.hooks.safety import add_safety_hooks

            default_hooks = add_safety_hooks(default_hooks, custom_hooks)
        register(self, default_hooks, custom_hooks)

    runner.Runner.register_hooks = register_hooks


def apply() -> None:
    """Patch MMEngine's runner."""
    after_import('mmengine.runner.runner', _add_safety_hooks)
