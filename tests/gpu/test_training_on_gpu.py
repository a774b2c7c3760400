"""Losses, teachers and training steps on a GPU: values, half precision, waiting, one process."""

import pytest
import torch
from helpers import RETINANET, detection_batch, distiller_config, toy_detector
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import distributed as dist

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.losses import (
    CCKDLoss,
    CMKDLoss,
    DLKDAlignLoss,
    DLKDCorrLoss,
    DLKDSupLoss,
    FCKALoss,
    FKDLoss,
    LCKALoss,
    MimicLoss,
    MMDLoss,
    PCKALoss,
)
from mmkd.models.building import build_model
from mmkd.models.compilation import begin_step
from mmkd.teachers import FrozenTeacher

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
DEVICE = 'cuda'
ROWS, MAPS = (32, 20), (2, 16, 25, 42)
LOSSES = {
    'PCKA': (lambda: PCKALoss(patch_size=4), MAPS),
    'PCKA, features too': (lambda: PCKALoss(patch_size=4, inter_weight=1.0), MAPS),
    'mimic': (MimicLoss, MAPS),
    'FKD': (FKDLoss, ROWS),
    'RCKA, features': (FCKALoss, ROWS),
    'RCKA, logits': (LCKALoss, ROWS),
    'CCKD': (CCKDLoss, ROWS),
    'CMKD': (CMKDLoss, ROWS),
    'DLKD, alignment': (DLKDAlignLoss, ROWS),
    'DLKD, correlation': (lambda: DLKDCorrLoss(num_views=4), ROWS),
    'DLKD, contrast': (DLKDSupLoss, ROWS),
    'MMD': (MMDLoss, ROWS),
}


def step_of(loss, shape, device, dtype=torch.float32, scale=1.0, rounded=torch.float32):
    """Value and gradient of a loss, whose inputs may be rounded to another type first."""
    generator = torch.Generator().manual_seed(0)
    student, noise = torch.randn(2, *shape, generator=generator)
    teacher, student = (student + noise).to(rounded).to(device, dtype), student.to(rounded)
    student = student.to(device, dtype).requires_grad_()
    labels = (torch.arange(shape[0], device=device) // 4,) if isinstance(loss, DLKDSupLoss) else ()
    loss = loss.to(device)
    with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
        value = loss(student, teacher, *labels)
    (scale * value).backward()
    return value.detach().cpu(), student.grad.cpu()


@pytest.mark.parametrize(('make', 'shape'), LOSSES.values(), ids=LOSSES)
def test_losses_equal_those_of_the_cpu(make, shape):
    value, gradient = step_of(make(), shape, DEVICE)
    expected, other = step_of(make(), shape, 'cpu')
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
    assert (gradient - other).abs().max() <= 1e-3 * other.abs().max()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(('make', 'shape'), LOSSES.values(), ids=LOSSES)
def test_losses_in_half_precision_with_a_scaled_loss(make, shape, dtype):
    scale = 2.0**10 if dtype == torch.float16 else 1.0
    value, gradient = step_of(make(), shape, DEVICE, dtype, scale)
    expected, other = step_of(make(), shape, 'cpu', rounded=dtype)
    assert gradient.dtype == dtype
    torch.testing.assert_close(value.float(), expected, rtol=5e-2, atol=5e-2)
    assert (gradient.float() / scale - other).abs().max() <= 0.1 * other.abs().max()


@pytest.mark.parametrize(('make', 'shape'), LOSSES.values(), ids=LOSSES)
def test_losses_do_not_wait_for_the_gpu(make, shape):
    loss = make().to(DEVICE)
    student = torch.randn(shape, device=DEVICE, requires_grad=True)
    teacher, labels = torch.randn(shape, device=DEVICE), torch.arange(shape[0], device=DEVICE) // 4
    arguments = (student, teacher, *([labels] if isinstance(loss, DLKDSupLoss) else []))
    loss(*arguments).backward()
    torch.cuda.set_sync_debug_mode('error')
    try:
        loss(*arguments).backward()
    finally:
        torch.cuda.set_sync_debug_mode('default')


@pytest.mark.parametrize(
    'options',
    [
        dict(precision='bf16', channels_last=True),
        dict(precision='fp16'),
        dict(compile=True),
        dict(compile=dict(mode='reduce-overhead'), precision='bf16'),
    ],
    ids=['bf16', 'fp16', 'compiled', 'CUDA graphs'],
)
def test_teachers(options):
    torch.manual_seed(0)
    model = build_model(RETINANET).to(DEVICE)
    images = torch.randn(2, 3, 64, 64, device=DEVICE)
    with torch.no_grad():
        for _ in range(5):
            model.train().extract_feat(images)
    plain = FrozenTeacher(model, mode='features')(images)
    teacher = FrozenTeacher(build_copy(model), mode='features', **options)
    for _ in range(3):
        if teacher.compiled:
            begin_step()
        features = teacher(images)
    for ours, expected in zip(features, plain, strict=True):
        assert (ours.float() - expected).abs().max() < 0.1 * expected.abs().max()


def build_copy(model):
    """Another model with the same weights."""
    copy = build_model(RETINANET).to(DEVICE)
    copy.load_state_dict(model.state_dict())
    return copy


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16', None], ids=['fp16', 'bf16', 'fp32'])
def test_training_steps_of_a_detector(dtype):
    torch.manual_seed(0)
    model = FrozenTeacherDistill(
        distiller=distiller_config(loss=dict(type='mmkd.PCKALoss', patch_size=2)),
        teacher=FrozenTeacher(build_model(RETINANET)),
        architecture=build_model(RETINANET),
    ).to(DEVICE)
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    wrapper = (
        OptimWrapper(optimizer)
        if dtype is None
        else AmpOptimWrapper(optimizer=optimizer, dtype=dtype, loss_scale=2.0**8)
    )
    before = [p.detach().clone() for p in model.architecture.neck.parameters()]
    for _ in range(2):
        with wrapper.optim_context(model):
            losses = model.loss(*detection_batch(model.architecture))
            total, _ = model.parse_losses(losses)
        wrapper.update_params(total)
    assert torch.isfinite(total)
    after = [*model.architecture.neck.parameters()]
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_one_process_of_nccl(tmp_path):
    """The gradients of DDP with one process, whose losses gather, are those without it."""
    student, images = toy_detector(1).to(DEVICE), torch.randn(4, 3, 8, 8, device=DEVICE)
    rows = torch.randn(4, 6, device=DEVICE)

    def gradients(network):
        student.zero_grad()
        features = network(images).flatten(1)
        FKDLoss()(features, rows).backward()
        return [p.grad.clone() for p in student.parameters()]

    expected = gradients(student)
    dist.init_process_group('nccl', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        network = torch.nn.parallel.DistributedDataParallel(student, device_ids=[0])
        torch.testing.assert_close(gradients(network), expected)
    finally:
        dist.destroy_process_group()
