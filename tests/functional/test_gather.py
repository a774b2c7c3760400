"""Two processes that gather equal one process with the joined batch."""

import pytest
import torch
from helpers import run_in_processes

from mmkd.functional.gather import gather_rows, mean_over_processes


def test_without_processes_it_is_the_same_tensor():
    x = torch.randn(3, 2)
    assert gather_rows(x) is x


def test_without_processes_a_mean_is_that_of_all():
    mean = torch.tensor(3.0)
    assert mean_over_processes(mean, 5) is mean


def rows_of(rank, counts):
    joined = torch.arange(12.0).view(6, 2)
    return joined.split(counts)[rank].clone().requires_grad_()


def gather_and_differentiate(rank, counts):
    x = rows_of(rank, counts)
    gathered = gather_rows(x)
    (gathered.cumsum(0) ** 2).sum().backward()  # a loss in which every row meets every other
    return gathered.detach(), x.grad


@pytest.mark.parametrize('counts', [[3, 3], [2, 4], [6, 0]], ids=str)
def test_values_and_gradients_of_two_processes(counts):
    results = run_in_processes(gather_and_differentiate, counts)
    joined = torch.arange(12.0).view(6, 2).requires_grad_()
    (joined.cumsum(0) ** 2).sum().backward()
    for gathered, _ in results:
        assert torch.equal(gathered, joined.detach())
    # DDP divides the sum over the processes by their number.
    gradients = torch.cat([gradient for _, gradient in results]) / 2
    assert torch.equal(gradients, joined.grad)


def gather_in_odd_cases(rank):
    """No rows in any process, and a tensor without gradient in the second process."""
    empty = torch.zeros(0, 2, requires_grad=True)
    gathered = gather_rows(empty)
    gathered.sum().backward()
    mixed = torch.full((1, 2), rank + 1.0, requires_grad=rank == 0)
    joined = gather_rows(mixed)
    if rank == 0:
        (joined**2).sum().backward()
    return gathered.shape, empty.grad, joined.detach(), joined.requires_grad, mixed.grad


def test_no_rows_anywhere_and_a_graph_in_one_process_only():
    results = run_in_processes(gather_in_odd_cases)
    for rank, (shape, empty_grad, joined, requires_grad, _) in enumerate(results):
        assert shape == empty_grad.shape == (0, 2)
        assert torch.equal(joined, torch.tensor([[1.0, 1.0], [2.0, 2.0]]))
        assert requires_grad == (rank == 0)
    assert torch.equal(results[0][-1], torch.full((1, 2), 4.0))  # 2 x 1, times the two processes
    assert results[1][-1] is None


def average_means(rank, splits, joined):
    results = []
    for counts in splits:
        rows = joined[: sum(counts)].split(counts)[rank].clone().requires_grad_()
        value = mean_over_processes(rows.sum() / max(len(rows), 1), len(rows))
        value.backward()
        results.append((value.detach(), rows.grad))
    return results


def test_means_of_processes_average_to_the_mean_of_all_rows():
    joined = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    splits = [[3, 3], [1, 5], [0, 6], [0, 0]]
    *results, none = zip(*run_in_processes(average_means, splits, joined), strict=True)
    for (first, first_grad), (second, second_grad) in results:
        torch.testing.assert_close((first + second) / 2, joined.mean())
        gradients = torch.cat([first_grad, second_grad]) / 2
        torch.testing.assert_close(gradients, torch.full((6,), 1 / 6))
    (first, _), (second, _) = results[0]
    assert (first, second) == (joined[:3].mean(), joined[3:].mean())  # equal counts
    assert [value for value, _ in none] == [0, 0]
