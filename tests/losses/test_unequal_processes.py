"""With unequal numbers of rows under DDP, connectors learn as in one process."""

import pytest
import torch
from helpers import run_in_processes
from torch import nn
from torch.nn.parallel import DistributedDataParallel

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

LOSSES = {
    'cckd': CCKDLoss(loss_weight=1.0),
    'cmkd': CMKDLoss(),
    'cmkd, sum': CMKDLoss(reduction='sum'),
    'dlkd_align': DLKDAlignLoss(),
    'dlkd_align, sum': DLKDAlignLoss(reduction='sum'),
    'dlkd_corr': DLKDCorrLoss(num_views=2),
    'dlkd_sup': DLKDSupLoss(),
    'fcka': FCKALoss(),
    'fkd': FKDLoss(),
    'lcka': LCKALoss(),
}
SPLITS = [(3, 5), (0, 8), (7, 1), (0, 0)]
# Each process has the value of its own rows. With other losses, each compares all rows.
OWN_VALUES = ('cmkd', 'cmkd, sum', 'dlkd_align', 'dlkd_align, sum')
LABELS = torch.tensor([0, 2, 0, 1, 2, 0, 1, 1])


class Step(nn.Module):
    """Connectors of both networks' features, and a loss between the results."""

    def __init__(self, loss):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.student = nn.Linear(4, 6, dtype=torch.float64)
        self.teacher = nn.Linear(5, 6, dtype=torch.float64)
        for parameter in self.parameters():
            parameter.data.normal_(generator=generator)
        self.loss = loss
        # The other losses detach the teacher, and DDP waits for all gradients.
        self.teacher.requires_grad_(isinstance(loss, CCKDLoss | DLKDSupLoss))

    def forward(self, student, teacher, labels):
        """The loss of images (B, views, D)."""
        views = 2 if isinstance(self.loss, DLKDCorrLoss | DLKDSupLoss) else 1
        by_view = (x[:, :views].transpose(0, 1).flatten(0, 1) for x in (student, teacher))
        labels = [labels] if isinstance(self.loss, DLKDSupLoss) else []
        features = (m(x) for m, x in zip((self.student, self.teacher), by_view, strict=True))
        return self.loss(*features, *labels)


def images(rows=8):
    generator = torch.Generator().manual_seed(1)
    student = torch.randn(8, 2, 4, generator=generator, dtype=torch.float64)
    teacher = torch.randn(8, 2, 5, generator=generator, dtype=torch.float64)
    return student[:rows], teacher[:rows], LABELS[:rows]


def value_and_gradients(step, batch):
    value = step(*batch)
    value.backward()
    return value.detach(), [p.grad for p in step.parameters() if p.requires_grad]


def train(rank):
    """Values and averaged gradients of a step of each loss on each split."""
    results = {}
    for name, loss in LOSSES.items():
        for split in SPLITS:
            parts = [x.split(split)[rank] for x in images(sum(split))]
            step = DistributedDataParallel(Step(loss))
            results[name, split] = value_and_gradients(step, parts)
    return results


@pytest.fixture(scope='module')
def of_processes():
    return run_in_processes(train)


@pytest.mark.parametrize('split', SPLITS, ids=str)
@pytest.mark.parametrize('name', LOSSES)
def test_equals_one_process(of_processes, name, split):
    values, gradients = zip(*(results[name, split] for results in of_processes), strict=True)
    value, expected = value_and_gradients(Step(LOSSES[name]), images(sum(split)))
    values = torch.stack(values)
    if name in OWN_VALUES:
        values = values.mean(0, keepdim=True)
    torch.testing.assert_close(values, value.expand_as(values))
    for averaged in gradients:
        torch.testing.assert_close(averaged, expected)
    assert any(gradient.any() for gradient in expected) == (sum(split) > 0)
