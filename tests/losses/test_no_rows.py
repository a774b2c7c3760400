"""Without samples, losses are zero and every connector still gets a gradient."""

import pytest
import torch
from torch import nn

from mmkd.losses import (
    CCKDLoss,
    CMKDLoss,
    DLKDAlignLoss,
    DLKDCorrLoss,
    DLKDSupLoss,
    FCKALoss,
    FKDLoss,
    LCKALoss,
)

ROWS = [
    FKDLoss(),
    FCKALoss(),
    FCKALoss(center=False),
    FCKALoss(unbiased=True),
    LCKALoss(),
    LCKALoss(tau=2.0, center=False),
    *(CCKDLoss(kernel) for kernel in ('mmd', 'bilinear', 'rbf')),
    CCKDLoss(order=None),
    CMKDLoss(),
    CMKDLoss(rank_method='pairwise'),
    CMKDLoss(reduction='sum'),
    DLKDAlignLoss(),
    DLKDAlignLoss(reduction='sum'),
    DLKDCorrLoss(num_views=2),
    DLKDCorrLoss(num_views=4),
]
NAMES = [type(loss).__name__ for loss in ROWS]


def assert_zero_with_gradients(value, *connectors):
    value.backward()
    assert value.dtype == torch.float32
    assert value == 0
    for parameter in (p for connector in connectors for p in connector.parameters()):
        assert torch.equal(parameter.grad, torch.zeros_like(parameter))


@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('loss', ROWS, ids=NAMES)
def test_no_rows(loss, autocast):
    connector = nn.Linear(3, 5)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        value = loss(connector(torch.zeros(0, 3)), torch.zeros(0, 5))
    assert_zero_with_gradients(value, connector)


@pytest.mark.parametrize('unbiased', [False, True])
def test_no_feature_maps(unbiased):
    connector = nn.Conv2d(3, 5, 1)
    pyramid = [connector(torch.zeros(0, 3, size, size)) for size in (4, 2)]
    teacher = [torch.zeros(0, 7, size, size) for size in (8, 4)]
    assert_zero_with_gradients(FCKALoss(unbiased=unbiased)(pyramid, teacher), connector)


def test_no_labeled_rows():
    connectors = nn.Linear(3, 5), nn.Linear(7, 5)
    embeddings = connectors[0](torch.zeros(0, 3)), connectors[1](torch.zeros(0, 7))
    labels = torch.zeros(0, dtype=torch.long)
    assert_zero_with_gradients(DLKDSupLoss()(*embeddings, labels), *connectors)


def test_both_embeddings_of_a_congruence_get_gradients():
    connectors = nn.Linear(3, 5), nn.Linear(7, 5)
    embeddings = connectors[0](torch.zeros(0, 3)), connectors[1](torch.zeros(0, 7))
    assert_zero_with_gradients(CCKDLoss()(*embeddings), *connectors)


def test_no_rows_of_an_ensemble():
    connector = nn.Linear(3, 5)
    teachers = (torch.zeros(0, 4), torch.zeros(0, 6))
    assert_zero_with_gradients(FKDLoss()(connector(torch.zeros(0, 3)), teachers), connector)


@pytest.mark.parametrize(('rows', 'regularized'), [(0, 2), (2, 0)])
def test_each_term_of_fkd_without_rows_leaves_the_other(rows, regularized):
    generator = torch.Generator().manual_seed(0)
    connector = nn.Linear(3, 5)
    student, teacher = connector(torch.randn(rows, 3, generator=generator)), torch.eye(2)[:rows]
    penalized = connector(torch.ones(regularized, 3))
    loss = FKDLoss(kernel_weight=3.0, regularization_weight=2.0)
    value = loss(student, teacher, penalized)
    if rows:
        cosine = torch.cosine_similarity(student[0], student[1], dim=0)
        torch.testing.assert_close(value, 3 * cosine.square())
    else:
        torch.testing.assert_close(value, 2 * penalized.square().mean())
    value.backward()
    assert connector.weight.grad.isfinite().all()
    assert connector.weight.grad.any()
