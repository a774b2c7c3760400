"""Blocks of isotonic regression against pooling of adjacent violators, value by value."""

from collections import Counter
from itertools import pairwise

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmkd.functional.ranking import isotonic
from mmkd.functional.ranking.isotonic import by_dropping, by_merging, pool

BOTH = pytest.mark.parametrize('solver', [by_dropping, by_merging])


def pool_adjacent_violators(values):
    """The textbook algorithm: a new value joins the block before it while that is higher."""
    blocks = []
    for value in values:
        blocks.append([value])
        while len(blocks) > 1 and mean(blocks[-2]) >= mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    return [mean(block) for block in blocks for _ in block]


def mean(values):
    return sum(values) / len(values)


def rows(kind, n, batch=5):
    generator = torch.Generator().manual_seed(n)
    noise = torch.randn(batch, n, generator=generator, dtype=torch.float64)
    return {
        'noise': noise,
        'trend': noise.cumsum(-1) + 0.1 * torch.arange(n),
        'dense in the middle': 3 * noise.sort(-1).values - 0.05 * torch.arange(n),
        'heavy': (3 * noise).exp(),
        'tied': noise.round(),
        'ascending': noise.sort(-1).values,
        'descending': noise.sort(-1, descending=True).values,
        'constant': torch.full_like(noise, 0.1),
    }[kind]


def regression(values, blocks):
    sums = torch.zeros(len(blocks.begin) - 1, dtype=values.dtype)
    sums.index_add_(0, blocks.member, values.flatten())
    return (sums / blocks.begin.diff())[blocks.member].view_as(values)


@BOTH
@pytest.mark.parametrize('n', [1, 2, 3, 10, 31, 32, 33, 64, 65, 100, 257])
@pytest.mark.parametrize(
    'kind',
    [
        'noise',
        'trend',
        'dense in the middle',
        'heavy',
        'tied',
        'ascending',
        'descending',
        'constant',
    ],
)
def test_equals_pooling_of_adjacent_violators(solver, kind, n):
    values = rows(kind, n)
    expected = [pool_adjacent_violators(row) for row in values.tolist()]
    expected = torch.tensor(expected, dtype=torch.float64)
    fitted = regression(values, solver(values.diff()))
    torch.testing.assert_close(fitted, expected, rtol=1e-12, atol=1e-12)


@BOTH
@pytest.mark.parametrize('kind', ['noise', 'trend', 'constant'])
def test_blocks_partition_the_rows(solver, kind):
    values = rows(kind, 40, batch=6)
    member, begin = solver(values.diff())
    assert begin[0] == 0
    assert begin[-1] == values.numel()
    for number, (first, end) in enumerate(pairwise(begin.tolist())):
        assert (member[first:end] == number).all()
        assert first == end or first // 40 == (end - 1) // 40  # in one row


def test_by_hand():
    values = torch.tensor([[1.0, 3.0, 2.0, 2.0, 5.0], [5.0, 4.0, 3.0, 2.0, 9.0]])
    expected = [[1.0, 7 / 3, 7 / 3, 7 / 3, 5.0], [3.5, 3.5, 3.5, 3.5, 9.0]]
    expected = torch.tensor(expected, dtype=torch.float64)
    for solver in (by_dropping, by_merging):
        fitted = regression(values.double(), solver(values.double().diff()))
        torch.testing.assert_close(fitted, expected)


@BOTH
@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_a_diverged_row_touches_no_other(solver, bad):
    values = rows('noise', 50)
    expected = regression(values, solver(values.diff()))
    values[2, 7:9] = bad
    fitted = regression(values, solver(values.diff()))
    others = [0, 1, 3, 4]
    torch.testing.assert_close(fitted[others], expected[others])


@BOTH
def test_no_rows(solver):
    member, begin = solver(torch.zeros(0, 4, dtype=torch.float64))
    assert len(member) == 0
    assert not begin.any()


def test_rounds_are_few_where_neighbors_alone_would_need_many(monkeypatch):
    """Gaps grow outwards from the middle, so the block grows by one value a round."""
    calls = []
    original = isotonic._below_far_chords

    def spy(points, drawn):
        calls.append(1)
        return original(points, drawn)

    def neighbors_only(points, drawn):
        calls.append(1)
        return torch.arange(len(points.height))

    rises = torch.linspace(-1, 1, 1999, dtype=torch.float64).abs()[None] - 0.4
    monkeypatch.setattr(isotonic, '_below_far_chords', spy)
    member, begin = by_dropping(rises)
    far_rounds = len(calls)
    assert 1 <= far_rounds <= 5
    assert begin.diff().max() > 1000
    calls.clear()
    monkeypatch.setattr(isotonic, '_below_far_chords', neighbors_only)
    assert torch.equal(by_dropping(rises).begin, begin)
    assert len(calls) > 20 * far_rounds
    merged = by_merging(rises)
    assert torch.equal(merged.begin[merged.member], begin[member])


class Recorded(TorchDispatchMode):
    """Counts the operations that reach a device."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.counts[function.overloadpacket.__name__] += 1
        return function(*arguments, **(options or {}))


def operations(rises):
    with Recorded() as recorded:
        by_merging(rises)
    return recorded.counts


@pytest.mark.parametrize('n', [20, 100, 1000])
def test_merging_takes_as_many_operations_for_any_rows(n):
    counts = operations(rows('trend', n, batch=2).diff())
    for kind in ('dense in the middle', 'descending'):
        assert operations(rows(kind, n, batch=9).diff()) == counts


def test_merging_takes_as_many_more_operations_each_time_rows_double():
    totals = [operations(rows('trend', n).diff()).total() for n in (64, 128, 256, 512, 1024)]
    more = [after - before for before, after in pairwise(totals)]
    assert len(set(more)) == 1
    assert 0 < more[0] < 60


def test_other_devices_merge(monkeypatch):
    used = []
    monkeypatch.setattr(isotonic, 'by_dropping', lambda _: used.append('dropping'))
    monkeypatch.setattr(isotonic, 'by_merging', lambda _: used.append('merging'))
    pool(torch.zeros(2, 3))
    pool(torch.zeros(2, 3, device='meta'))
    assert used == ['dropping', 'merging']
