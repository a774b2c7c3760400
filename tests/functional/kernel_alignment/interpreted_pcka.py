"""The fused kernels of PCKA against the plain computation, in Triton's interpreter on the CPU.

Triton reads TRITON_INTERPRET when it is imported, so test_fused_pcka.py runs this file in a process
of its own.
"""

import pytest
import torch
from pcka_pyramids import plain, pyramid, values_and_gradients

from mmkd.functional.kernel_alignment import fused_layout
from mmkd.functional.kernel_alignment.fused_pcka import fused_pcka, why_not_supported
from mmkd.functional.kernel_alignment.patches import Patching
from mmkd.losses import PCKALoss

MODULE = 'mmkd.functional.kernel_alignment.fused_pcka'


@pytest.fixture(autouse=True)
def few_programs(monkeypatch):
    """The interpreter is slow."""
    monkeypatch.setattr(fused_layout, 'PROGRAMS', 2)
    monkeypatch.setattr(f'{MODULE}.PROGRAMS', 2)


def assert_equal_to_plain(maps, patchings, center=True, unbiased=False):
    assert why_not_supported(*maps, patchings) is None
    fused, ours = values_and_gradients(fused_pcka, *maps, patchings, center, unbiased)
    expected, theirs = values_and_gradients(plain, *maps, patchings, center, unbiased)
    torch.testing.assert_close(fused, expected, rtol=0, atol=2e-6)
    for own, other, student in zip(ours, theirs, maps[0], strict=True):
        assert own.stride() == student.stride()
        ulp = max(torch.finfo(student.dtype).eps, 1e-5)
        assert (own - other).abs().max() <= 2 * ulp * other.abs().max()


@pytest.mark.parametrize(
    ('average', 'fit', 'options'),
    [
        ('channel', 'resize', {}),
        ('batch', 'resize', {'unbiased': True}),
        ('channel', 'pad', {'center': False}),
    ],
)
def test_equals_the_plain_computation(average, fit, options):
    assert_equal_to_plain(pyramid((1, 2, 5, 4)), [Patching(3, average, fit)], **options)


def test_levels_of_several_sizes_together():
    maps = pyramid((1, 1, 6, 8), (1, 1, 3, 3), (1, 1, 4, 5))
    patchings = [Patching(size, 'channel', 'resize') for size in (4, 1, 3)]
    assert_equal_to_plain(maps, patchings)


def test_gram_matrices_of_several_tiles(monkeypatch):
    monkeypatch.setattr(fused_layout, 'TILES', (16, 16))
    maps = pyramid((1, 1, 8, 9))
    assert_equal_to_plain(maps, [Patching(2, 'channel', 'resize')])


def test_many_members_of_few_groups_are_split(monkeypatch):
    monkeypatch.setattr(fused_layout, 'PROGRAMS', 4)
    patchings = [Patching(2, 'batch', 'pad')]
    maps = pyramid((1, 16, 4, 3))
    assert fused_layout.layout_of(maps[0], patchings).splits == 2
    assert_equal_to_plain(maps, patchings)


def test_channels_last_and_half_precision():
    maps = pyramid((2, 2, 4, 3), dtype=torch.bfloat16, layout=torch.channels_last)
    assert_equal_to_plain(maps, [Patching(2, 'channel', 'resize')])


def test_constant_maps_count_as_equal_and_get_no_gradient():
    students, teachers = pyramid((1, 2, 4, 4))
    teachers[0][:, 0] = 3.3
    patchings = [Patching(2, 'channel', 'resize')]
    assert_equal_to_plain((students, teachers), patchings)
    _, (gradient,) = values_and_gradients(fused_pcka, students, teachers, patchings, True, False)
    assert not gradient[:, 0].any()
    assert gradient[:, 1].any()


def test_equal_maps_have_exactly_1_and_nan_stays():
    (student,), _ = pyramid((1, 2, 4, 4))
    patchings = [Patching(2, 'channel', 'resize')]
    assert fused_pcka([student], [2 * student], patchings, True, False).item() == 1
    broken = student.clone()
    broken[0, 0, 0, 0] = float('nan')
    assert fused_pcka([broken], [student], patchings, True, False).isnan().all()


def test_the_loss_of_a_pyramid(monkeypatch):
    calls = []

    def counted(*args):
        calls.append(args)
        return fused_pcka(*args)

    students, teachers = pyramid((1, 2, 4, 4), (1, 2, 3, 4), (1, 2, 1, 2))
    loss = PCKALoss(patch_size=2, loss_weight=1)
    with pytest.warns(UserWarning, match='compared level 2'):
        expected = loss(students, teachers)
    monkeypatch.setattr(torch.Tensor, 'is_cuda', True)
    monkeypatch.setattr(f'{MODULE}.why_not_fused', why_not_supported)
    monkeypatch.setattr(f'{MODULE}.fused_pcka', counted)
    torch.testing.assert_close(loss(students, teachers), expected, rtol=0, atol=1e-5)
    assert len(calls) == 2  # a trial, and the loss
    assert [patching.patch_size for patching in calls[0][2]] == [2, 2]  # the third is too small
