"""mmcv's compiled operators on torchvision's kernels.

``mmcv-lite`` has the Python part of ``mmcv.ops``, but not its extension module ``mmcv._ext``.
:func:`build` makes that module from functions with the same names, arguments and in-place outputs.
They run wherever torchvision runs (CPU, CUDA, ROCm), in any floating dtype. Operators that
torchvision lacks can be imported and raise :class:`NotImplementedError` when called.
"""

import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any, NoReturn

from mmkd.compat.mmcv_ext.deform_conv import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from mmkd.compat.mmcv_ext.focal_loss import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
)
from mmkd.compat.mmcv_ext.info import get_compiler_version, get_compiling_cuda_version
from mmkd.compat.mmcv_ext.ms_deform_attn import ms_deform_attn_backward, ms_deform_attn_forward
from mmkd.compat.mmcv_ext.nms import nms, nms_match, softnms
from mmkd.compat.mmcv_ext.roi_align import roi_align_backward, roi_align_forward

__all__ = ['build']

_NAME = 'mmcv._ext'

_OPS: tuple[Callable[..., Any], ...] = (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    get_compiler_version,
    get_compiling_cuda_version,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
    ms_deform_attn_backward,
    ms_deform_attn_forward,
    nms,
    nms_match,
    roi_align_backward,
    roi_align_forward,
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softnms,
)


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
    vars(ext).update({op.__name__: op for op in _OPS}, __getattr__=_missing)
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
