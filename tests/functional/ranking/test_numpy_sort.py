"""NumPy gives what PyTorch gives, and PyTorch takes over where NumPy does not apply."""

import pytest
import torch

from mmkd.functional.ranking import numpy_sort
from mmkd.functional.ranking.numpy_sort import argsort, nonzero

DTYPES = pytest.mark.parametrize('dtype', [torch.float32, torch.float64])


@pytest.fixture(params=['numpy', 'no numpy', 'many threads'])
def way(request, monkeypatch):
    if request.param == 'no numpy':
        monkeypatch.setattr(numpy_sort, '_HAS_NUMPY', False)
    if request.param == 'many threads':
        monkeypatch.setattr(torch, 'get_num_threads', lambda: 64)
    return request.param


def test_ways_are_taken_where_they_suit(way):
    assert numpy_sort._has_numpy()
    assert numpy_sort._suits(torch.zeros(1)) == (way == 'numpy')
    assert not numpy_sort._suits(torch.zeros(1, device='meta'))


@DTYPES
@pytest.mark.parametrize('shape', [(3, 1), (1, 7), (40, 100), (5, 1000), (0, 4), (4, 0)])
def test_order_of_values(way, dtype, shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    before, order = x.clone(), argsort(x)
    assert order.dtype == torch.int64
    assert torch.equal(order, x.argsort(-1))
    assert torch.equal(x, before)


@DTYPES
def test_order_of_values_that_only_bits_tell_apart(way, dtype):
    tiny, largest = torch.finfo(dtype).smallest_normal, torch.finfo(dtype).max
    values = [-float('inf'), -largest, -2.0, -1.0, -tiny, -tiny / 2, 0.0, tiny / 2, tiny, 1.0]
    expected = torch.tensor([*values, 1 + torch.finfo(dtype).eps, largest, float('inf')]).to(dtype)
    expected[-3] = 1 + torch.finfo(dtype).eps
    shuffled = expected[torch.randperm(13, generator=torch.Generator().manual_seed(1))][None]
    assert torch.equal(shuffled.gather(1, argsort(shuffled))[0], expected)


@DTYPES
def test_ties_and_signed_zeros_keep_every_index(way, dtype):
    x = torch.tensor([[0.0, -0.0, 0.0, -1.0, -0.0, -1.0, 3.0]], dtype=dtype)
    order = argsort(x)
    assert sorted(order[0].tolist()) == list(range(7))
    assert x.gather(1, order).tolist() == [[-1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 3.0]]


@DTYPES
@pytest.mark.parametrize('sign', [1, -1])
def test_nan_is_at_an_end(way, dtype, sign):
    nan = torch.tensor(float('nan'), dtype=dtype).copysign(torch.tensor(sign, dtype=dtype))
    x = torch.stack([torch.ones_like(nan), nan, torch.zeros_like(nan)])[None]
    ordered = x.gather(1, argsort(x))[0]
    assert sorted(argsort(x)[0].tolist()) == [0, 1, 2]
    assert ordered[[0, -1]].isnan().sum() == 1


def test_any_memory_layout(way):
    x = torch.randn(30, 8, generator=torch.Generator().manual_seed(0)).T
    assert torch.equal(argsort(x), x.contiguous().argsort(-1))


@pytest.mark.parametrize('share', [0.0, 0.3, 1.0])
def test_what_is_true(way, share):
    mask = torch.rand(500, generator=torch.Generator().manual_seed(0)) < share
    assert nonzero(mask).tolist() == [i for i, value in enumerate(mask.tolist()) if value]


def test_nothing_is_true_of_nothing(way):
    assert nonzero(torch.zeros(0, dtype=torch.bool)).shape == (0,)


def test_numpy_that_pytorch_does_not_find(monkeypatch):
    def unavailable(_):
        raise RuntimeError('Numpy is not available')

    monkeypatch.setattr(torch.Tensor, 'numpy', unavailable)
    assert not numpy_sort._has_numpy()
