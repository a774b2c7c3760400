"""The work that every function does grows no faster than its formula: counted, not timed."""

import pytest
import torch

SCRIPT = 'benchmarks/growth.py'


@pytest.mark.parametrize('chunked', [False, True])
def test_no_function_does_more_than_its_formula(chunked, script, monkeypatch):
    # Maps of all sizes the same way: at which one the other begins is a step, not a slope.
    name = 'mmkd.functional.kernel_alignment.pcka.can_be_chunked'
    monkeypatch.setattr(name, lambda *_: chunked)
    growth = script(SCRIPT)
    for sweep in growth.SWEEPS:
        if chunked and not sweep.name.startswith('pcka'):
            continue
        values = sweep.sizes[1:4]  # the largest take seconds
        works = [growth.work(sweep.make(value)) for value in values]
        formula = growth.slope(values, [growth.ORDERS[sweep.order](value) for value in values])
        # A power too many is one more; soft ranks of more rows may take a round more.
        assert growth.slope(values, works) < formula + 0.1, (sweep.name, sweep.size)


@pytest.mark.parametrize(('order', 'exponent'), [(0.5, 0.5), (1, 1), (3, 3)])
def test_slope_is_the_exponent_of_the_last_three(script, order, exponent):
    growth = script(SCRIPT)
    values = [2, 4, 8, 16]
    assert growth.slope(values, [99.0, *(7 * n**order for n in values[1:])]) == pytest.approx(
        exponent
    )


def test_work_counts_elements_and_products(script):
    x, y = torch.ones(4, 5), torch.ones(5, 6)
    growth = script(SCRIPT)
    assert growth.work(lambda: x + 1) == 20 + 20
    assert growth.work(lambda: x @ y) == 2 * 4 * 5 * 6 + 20 + 30 + 24
    assert growth.work(lambda: x.new_zeros(3)) == 3  # nothing of x is read
    assert growth.work(lambda: (torch.empty_like(x), x.new_empty(3), x.mT)) == 0


def test_a_loop_over_channels_that_reads_the_whole_map_would_show(script):
    growth = script(SCRIPT)
    maps = [torch.ones(2, channels, 8, 8) for channels in (16, 32, 64)]
    works = [
        growth.work(lambda m=m: [m.mul(1)[:, c].sum() for c in range(m.shape[1])]) for m in maps
    ]
    assert growth.slope([16, 32, 64], works) > 1.8
