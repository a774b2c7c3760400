"""Losses and gradients are finite for all that a floating-point type can hold."""

import pytest
import torch

import mmkd.registry  # noqa: F401
from mmkd.registry import MODELS

ROWS, MAP, LOGIT_MAP = (8, 6), (2, 4, 4, 4), (2, 8, 3, 3)
LABELS = {'gt_labels': torch.arange(8) % 3}
LOCATIONS = dict(type='TopKLocationsLoss', num_classes=4, top_k=5)
# Each loss, the shape of its inputs and its other inputs.
LOSSES = {
    'pcka': (dict(type='PCKALoss', patch_size=2), MAP, {}),
    'pcka_uncentered': (dict(type='PCKALoss', center=False, inter_weight=1.0), MAP, {}),
    'pcka_unbiased': (dict(type='PCKALoss', unbiased=True, average='batch'), MAP, {}),
    'fcka': (dict(type='FCKALoss'), (6, 2, 3, 3), {}),
    'fcka_rows': (dict(type='FCKALoss', center=False, normalize=True), (6, 2, 3, 3), {}),
    'lcka': (dict(type='LCKALoss'), ROWS, {}),
    'lcka_rows': (dict(type='LCKALoss', normalize=True), ROWS, {}),
    'lcka_tau': (dict(type='LCKALoss', tau=0.1), ROWS, {}),
    'fkd': (dict(type='FKDLoss'), ROWS, {}),
    'cckd_mmd': (dict(type='CCKDLoss', kernel='mmd', loss_weight=1.0), ROWS, {}),
    'cckd_bilinear': (dict(type='CCKDLoss', kernel='bilinear'), ROWS, {}),
    'cckd_rbf': (dict(type='CCKDLoss', kernel='rbf', loss_weight=1.0), ROWS, {}),
    'cckd_rbf_exact': (dict(type='CCKDLoss', kernel='rbf', order=None), ROWS, {}),
    'cmkd': (dict(type='CMKDLoss'), ROWS, {}),
    'cmkd_soft': (dict(type='CMKDLoss', teacher_ranks='soft'), ROWS, {}),
    'cmkd_pairwise': (dict(type='CMKDLoss', rank_method='pairwise', reduction='sum'), ROWS, {}),
    'dlkd_align': (dict(type='DLKDAlignLoss', reduction='sum'), ROWS, {}),
    'dlkd_corr': (dict(type='DLKDCorrLoss'), ROWS, {}),
    'dlkd_sup': (dict(type='DLKDSupLoss'), ROWS, LABELS),
    'dlkd_sup_both': (dict(type='DLKDSupLoss', candidates='both'), ROWS, LABELS),
    'mmd': (dict(type='MMDLoss'), ROWS, {}),
    'mimic': (dict(type='MimicLoss', reduction='sum'), MAP, {}),
    'patchwise': (dict(type='PatchwiseLoss', loss=dict(type='MMDLoss'), patch_size=2), MAP, {}),
    'sp': (dict(type='SPLoss'), ROWS, {}),
    'soft_focal': (dict(type='SoftFocalLoss'), LOGIT_MAP, {}),
    'ld': (dict(type='LDLoss', min_score=0.0), LOGIT_MAP, {'scores': torch.zeros(LOGIT_MAP)}),
    'locations_lcka': (LOCATIONS | dict(loss=dict(type='LCKALoss')), LOGIT_MAP, {}),
    'locations_cmkd': (LOCATIONS | dict(loss=dict(type='CMKDLoss')), LOGIT_MAP, {}),
}
DTYPES = {'fp16': torch.float16, 'bf16': torch.bfloat16, 'fp32': torch.float32}


def magnitudes(dtype):
    limits = torch.finfo(dtype)
    return [0.0, limits.tiny * limits.eps, limits.tiny, 1e-8, 1.0, limits.max**0.5, limits.max]


def arrangements(shape, magnitude):
    """Noise, signs, a constant, one value, one row, and small beside large values."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    single, row, mixed = torch.zeros(shape), torch.zeros(shape), noise.clone()
    single.view(-1)[0], row[0] = 1, noise[0]
    mixed.view(-1)[::2] *= magnitude
    return [p * magnitude for p in (noise, noise.sign(), torch.ones(shape), single, row)] + [mixed]


def not_finite(loss, student, teacher, others):
    student, teacher = (x.clone().requires_grad_() for x in (student, teacher))
    value = loss(student, teacher, **others)
    value.backward()
    results = {'loss': value, "student's gradient": student.grad, "teacher's": teacher.grad}
    return [n for n, x in results.items() if x is not None and not x.isfinite().all()]


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('name', LOSSES)
def test_values_and_gradients_are_finite(name, dtype):
    config, shape, others = LOSSES[name]
    loss = MODELS.build({**config, 'type': f'mmkd.{config["type"]}'})
    dtype = DTYPES[dtype]
    teachers = [torch.randn(shape, generator=torch.Generator().manual_seed(1)).clamp(-1, 1) * m
                for m in (1.0, torch.finfo(dtype).max)]  # fmt: skip
    bad = [
        (magnitude, arrangement, bad)
        for magnitude in magnitudes(dtype)
        for arrangement, student in enumerate(arrangements(shape, magnitude))
        for teacher in teachers
        if (bad := not_finite(loss, student.to(dtype), teacher.to(dtype), others))
    ]
    assert bad == []


@pytest.mark.parametrize('name', ['pcka', 'dlkd_corr', 'cckd_bilinear', 'cmkd', 'locations_lcka'])
def test_the_same_under_autocast(name):
    config, shape, others = LOSSES[name]
    loss = MODELS.build({**config, 'type': f'mmkd.{config["type"]}'})
    student = torch.full(shape, 1e-8)
    student.view(-1)[::3] *= -3
    with torch.autocast('cpu', dtype=torch.float16):
        assert not_finite(loss, student, torch.ones(shape), others) == []
        assert not_finite(loss, student.half(), torch.eye(shape[-1])[0] + student, others) == []


@pytest.mark.parametrize(
    'name', ['pcka', 'lcka', 'lcka_tau', 'fkd', 'cckd_bilinear', 'cmkd', 'dlkd_corr', 'mimic']
)
def test_infinity_is_not_hidden(name):
    config, shape, others = LOSSES[name]
    loss = MODELS.build({**config, 'type': f'mmkd.{config["type"]}'})
    student, teacher = torch.randn(shape), torch.randn(shape)
    student.view(-1)[1] = torch.inf
    assert not_finite(loss, student, teacher, others)[0] == 'loss'
