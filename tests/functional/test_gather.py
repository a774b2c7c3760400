"""Two processes that gather are one with the joined batch."""

import pytest
import torch
from helpers import run_in_processes

from mmkd.functional.gather import gather_rows


def test_without_processes_it_is_the_same_tensor():
    x = torch.randn(3, 2)
    assert gather_rows(x) is x


def rows_of(rank, counts):
    joined = torch.arange(12.0).view(6, 2)
    return joined.split(counts)[rank].clone().requires_grad_()


def gather_and_differentiate(rank, counts):
    x = rows_of(rank, counts)
    gathered = gather_rows(x)
    (gathered.cumsum(0) ** 2).sum().backward()  # a loss in which every row meets every other
    return gathered.detach(), x.grad


@pytest.mark.parametrize('counts', [[3, 3], [2, 4], [6, 0]])
def test_values_and_gradients_of_two_processes(counts):
    results = run_in_processes(gather_and_differentiate, counts)
    joined = torch.arange(12.0).view(6, 2).requires_grad_()
    (joined.cumsum(0) ** 2).sum().backward()
    for gathered, _ in results:
        assert torch.equal(gathered, joined.detach())
    # DDP divides the sum over the processes by their number, which is therefore a factor here.
    gradients = torch.cat([gradient for _, gradient in results]) / 2
    assert torch.equal(gradients, joined.grad)
