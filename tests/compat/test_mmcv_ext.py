"""The stand-in as a module, and each operator on CUDA against the CPU."""

import mmkd  # noqa: F401  # isort: skip  (makes mmcv.ops importable)
import importlib.util
import subprocess
import sys

import pytest
import torch
from mmcv import ops
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from mmcv.utils import ext_loader
from torch import Tensor

from mmkd.compat.mmcv_ext import build


def test_mmcv_asks_for_names_and_gets_them():
    names = ['nms', 'roi_align_forward', 'carafe_forward', 'border_align_backward']
    ext = ext_loader.load_ext('_ext', names)
    assert ext.__name__ == 'mmcv._ext'
    assert all(callable(getattr(ext, name)) for name in names)


def test_module_is_found_without_being_imported_again():
    assert importlib.util.find_spec('mmcv._ext') is not None
    assert build().__spec__.name == 'mmcv._ext'


def test_unknown_dunder_is_absent():
    ext = build()
    assert not hasattr(ext, '__wrapped__')
    with pytest.raises(AttributeError, match=r"module 'mmcv._ext' has no attribute '__path__'"):
        _ = ext.__path__


def test_operator_not_provided_raises_when_called():
    features = torch.zeros(1, 4, 4, 4)
    with pytest.raises(NotImplementedError, match=r"mmcv op 'carafe_forward'.*compiled mmcv 2\.1"):
        ops.carafe(features, torch.zeros(1, 9, 8, 8), 3, 1, 2)


def test_roi_pool_is_not_passed_to_torchvision_whose_bins_differ():
    rois = torch.tensor([[0.0, 0, 0, 3, 3]])
    with pytest.raises(NotImplementedError, match="mmcv op 'roi_pool_forward'"):
        ops.RoIPool(2)(torch.zeros(1, 1, 4, 4), rois)


def test_compiler_versions_are_text():
    assert isinstance(ops.get_compiler_version(), str)
    assert isinstance(ops.get_compiling_cuda_version(), str)


def test_importing_the_stand_in_does_not_import_torchvision():
    code = (
        'import sys, mmkd; from mmkd.compat.mmcv_ext import build; build(); '
        'sys.exit("torchvision" in sys.modules)'
    )
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


def _nms(device: str) -> tuple[Tensor, ...]:
    corners = torch.rand(60, 2) * 40
    boxes = torch.cat([corners, corners + 5 + torch.rand(60, 2) * 20], dim=1).to(device)
    return ops.nms(boxes, torch.rand(60).to(device), 0.4, offset=1)


def _roi_align(device: str) -> tuple[Tensor, ...]:
    x = torch.rand(2, 3, 12, 15).to(device).requires_grad_()
    rois = torch.tensor([[0.0, 3, 2, 40, 30], [1, -9, 5, 21, 70]]).to(device)
    out = ops.RoIAlign(3, spatial_scale=0.25)(x, rois)
    return out, *torch.autograd.grad(out.square().sum(), x)


def _deform_conv(device: str) -> tuple[Tensor, ...]:
    shapes = (2, 4, 7, 8), (2, 36, 7, 8), (6, 2, 3, 3)
    leaves = [torch.randn(s).to(device).requires_grad_() for s in shapes]
    out = ops.deform_conv2d(*leaves, 1, 1, 1, 2, 2)
    return out, *torch.autograd.grad(out.square().sum(), leaves)


def _modulated_deform_conv(device: str) -> tuple[Tensor, ...]:
    shapes = (2, 4, 7, 8), (2, 36, 7, 8), (2, 18, 7, 8), (6, 2, 3, 3), (6,)
    leaves = [torch.randn(s).to(device).requires_grad_() for s in shapes]
    out = ops.modulated_deform_conv2d(*leaves, 1, 1, 1, 2, 2)
    return out, *torch.autograd.grad(out.square().sum(), leaves)


def _sigmoid_focal_loss(device: str) -> tuple[Tensor, ...]:
    x = torch.randn(9, 4).to(device).requires_grad_()
    out = ops.sigmoid_focal_loss(x, torch.arange(9).to(device) % 5, 2.0, 0.25, None, 'sum')
    return out, *torch.autograd.grad(out, x)


def _ms_deform_attn(device: str) -> tuple[Tensor, ...]:
    shapes = torch.tensor([[4, 5], [2, 3]], device=device)
    starts = torch.tensor([0, 20], device=device)
    sizes = (2, 26, 2, 4), (2, 7, 2, 2, 3, 2), (2, 7, 2, 2, 3)
    leaves = [torch.rand(s).to(device).requires_grad_() for s in sizes]
    value, locations, weights = leaves
    out = MultiScaleDeformableAttnFunction.apply(value, shapes, starts, locations, weights, 64)
    return out, *torch.autograd.grad(out.square().sum(), leaves)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize(
    'run',
    [_nms, _roi_align, _deform_conv, _modulated_deform_conv, _sigmoid_focal_loss, _ms_deform_attn],
)
def test_cuda_equals_cpu(run):
    torch.manual_seed(0)
    expected = run('cpu')
    torch.manual_seed(0)
    torch.testing.assert_close([t.cpu() for t in run('cuda')], list(expected))
