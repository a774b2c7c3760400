"""mmcv's compiled operators on torchvision's kernels.

``mmcv-lite`` has the Python part of ``mmcv.ops``, but not its extension module ``mmcv._ext``.
:func:`build` makes that module from functions with the same names, arguments and in-place outputs.
They run wherever torchvision runs (CPU, CUDA, ROCm), in any floating dtype. Operators that
torchvision lacks can be imported and raise :class:`NotImplementedError` when called.
"""

import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import NoReturn

from mmkd.compat.mmcv_ext import deform_conv, focal_loss, ms_deform_attn, nms, roi_align

__all__ = ['build']

_NAME = 'mmcv._ext'
_OPS = {
    name: op
    for module in (deform_conv, focal_loss, ms_deform_attn, nms, roi_align)
    for name, op in vars(module).items()
    if getattr(op, '__module__', None) == module.__name__ and not name.startswith('_')
}


def _compiler() -> str:
    """Answer ``mmcv.utils.collect_env``: mmcv was not compiled."""
    return 'none (torchvision kernels)'


_OPS.update(get_compiler_version=_compiler, get_compiling_cuda_version=_compiler)


def build() -> types.ModuleType:
    """Make a module that ``mmcv.ops`` accepts as its compiled extension.

    It has every name that mmcv asks for, so ``import mmcv.ops`` works. Unsupported operators raise
    :class:`NotImplementedError` when called.

    Returns:
        A new module named ``mmcv._ext``, which is not in ``sys.modules``.

    Example:
        >>> ext = build()
        >>> hasattr(ext, 'roi_align_forward'), hasattr(ext, 'carafe_forward')
        (True, True)
        >>> ext.carafe_forward()
        Traceback (most recent call last):
        ...
        NotImplementedError: mmcv op 'carafe_forward' is not available without compiled mmcv ops; \
replace mmcv-lite with a compiled mmcv 2.1 (pip install mmcv==2.1.0)
    """
    ext = types.ModuleType(_NAME, 'mmcv operators on torchvision kernels.')
    ext.__spec__ = ModuleSpec(_NAME, loader=None)
    vars(ext).update(_OPS, __getattr__=_missing)
    return ext


def _missing(name: str) -> Callable[..., NoReturn]:
    # The import system probes modules for dunder names, so these must be missing.
    if name.startswith('__'):
        raise AttributeError(f'module {_NAME!r} has no attribute {name!r}')

    def unavailable(*args: object, **kwargs: object) -> NoReturn:
        raise NotImplementedError(
            f'mmcv op {name!r} is not available without compiled mmcv ops; '
            'replace mmcv-lite with a compiled mmcv 2.1 (pip install mmcv==2.1.0)'
        )

    return unavailable
