"""StandardizedLogits: values, what it frees the student from, in a distiller, errors."""

import pytest
import torch
from helpers import CLASSIFIER

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.connectors import StandardizedLogits

STANDARDIZE = {'type': 'mmkd.StandardizedLogits'}


def test_rows_have_mean_0_and_standard_deviation_1():
    logits = StandardizedLogits()(5 + 3 * torch.randn(4, 10, dtype=torch.float64))
    zero, one = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    torch.testing.assert_close(logits.mean(1), zero)
    torch.testing.assert_close(logits.std(1), one)


def test_kd_does_not_ask_for_the_size_of_logits():
    kd = dict(type='KLDivergence', on='head.fc', tau=2.0, loss_weight=9.0)
    connectors = dict(student_connector=STANDARDIZE, teacher_connector=STANDARDIZE)
    plain, standardized = (
        FrozenTeacherDistill(CLASSIFIER, CLASSIFIER, dict(losses=dict(kd={**kd, **more})))
        for more in ({}, connectors)
    )
    for model in (plain, standardized):
        teacher = model.teacher.model
        teacher.load_state_dict(model.architecture.state_dict())
        for parameter in teacher.head.fc.parameters():
            parameter.data *= 3
        model.teacher._loaded = None
        model.eval()
    images = torch.randn(4, 3, 32, 32)
    losses = [_distillation(model, images) for model in (plain, standardized)]
    assert losses[0] > 0.01
    assert losses[1] == pytest.approx(0, abs=1e-5)


def _distillation(model, images):
    from mmpretrain.structures import DataSample

    samples = [DataSample().set_gt_label(0) for _ in images]
    return float(model.loss(images, samples)['distill.loss_kd'])


def test_a_tuple_is_refused():
    with pytest.raises(TypeError, match=r'logits: expected a Tensor .* got tuple'):
        StandardizedLogits()((torch.zeros(2, 3),))
