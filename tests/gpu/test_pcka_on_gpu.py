"""The fused kernels of PCKA on a GPU, against the plain computation."""

import itertools

import pytest
import torch
from pcka_pyramids import plain, values_and_gradients
from pcka_pyramids import pyramid as maps_of

from mmkd.functional import pcka, pyramid_pcka
from mmkd.functional.kernel_alignment.fused_pcka import fused_pcka, why_not_fused
from mmkd.functional.kernel_alignment.patches import Patching

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
DEVICE = 'cuda'
COCO = ((100, 168), (50, 84), (25, 42), (13, 21))
PATCHES = (16, 16, 16, 8)


def pyramid(sizes, batch=2, channels=8, **options):
    """Maps of these sizes on the GPU."""
    return maps_of(*[(batch, channels, *size) for size in sizes], device=DEVICE, **options)


def patchings_of(average='channel', fit='resize'):
    return [Patching(size, average, fit) for size in PATCHES]


def skip_unless_fused(maps, patchings):
    reason = why_not_fused(*maps, patchings)
    if reason:
        pytest.skip(reason)


@pytest.mark.parametrize(
    ('average', 'fit', 'options'),
    [
        ('channel', 'resize', (True, False)),
        ('channel', 'pad', (False, False)),
        ('batch', 'resize', (True, True)),
    ],
)
@pytest.mark.parametrize('precision', ['highest', 'high'])
def test_equals_the_plain_computation(average, fit, options, precision, request):
    before = torch.get_float32_matmul_precision()
    request.addfinalizer(lambda: torch.set_float32_matmul_precision(before))
    maps, patchings = pyramid(COCO), patchings_of(average, fit)
    skip_unless_fused(maps, patchings)
    torch.set_float32_matmul_precision('highest')
    expected, theirs = values_and_gradients(plain, *maps, patchings, *options)
    torch.set_float32_matmul_precision(precision)
    values, ours = values_and_gradients(fused_pcka, *maps, patchings, *options)
    of_value, of_gradient = (1e-5, 1e-4) if precision == 'highest' else (1e-3, 2e-2)
    torch.testing.assert_close(values, expected, rtol=0, atol=of_value)
    for own, other in zip(ours, theirs, strict=True):
        assert (own - other).abs().max() < of_gradient * other.abs().max()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_in_channels_last(dtype):
    maps = pyramid(COCO, dtype=dtype, layout=torch.channels_last)
    skip_unless_fused(maps, patchings_of())
    values, ours = values_and_gradients(fused_pcka, *maps, patchings_of(), True, False)
    wide = [[m.float() for m in part] for part in maps]
    expected, theirs = values_and_gradients(plain, *wide, patchings_of(), True, False)
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-3)
    for own, other in zip(ours, theirs, strict=True):
        assert own.dtype == dtype
        assert own.is_contiguous(memory_format=torch.channels_last)
        assert (own.float() - other).abs().max() < 2e-2 * other.abs().max()


def test_gradients_are_the_same_each_time():
    maps = pyramid(COCO)
    skip_unless_fused(maps, patchings_of())
    first, second = (
        values_and_gradients(fused_pcka, *maps, patchings_of(), True, False) for _ in range(2)
    )
    for a, b in zip((first[0], *first[1]), (second[0], *second[1]), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize('patch_size', [1, 2, 5, 7, 24, 40])
def test_ragged_sizes_and_many_tiles(patch_size):
    sizes = [(19, 23), (16, 16), (37, 41)]
    for size, layout in itertools.product(sizes, (torch.contiguous_format, torch.channels_last)):
        maps, patchings = (
            pyramid([size], layout=layout),
            [Patching(patch_size, 'channel', 'resize')],
        )
        if why_not_fused(*maps, patchings):
            continue
        values, (own,) = values_and_gradients(fused_pcka, *maps, patchings, True, False)
        expected, (other,) = values_and_gradients(plain, *maps, patchings, True, False)
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-4)
        # Of two patches, CKA is 1 and the gradient only rounding.
        assert (own - other).abs().max() < 1e-3 * other.abs().max() + 1e-7


def test_a_step_neither_waits_for_the_gpu_nor_holds_much_memory():
    students, teachers = pyramid(COCO, batch=3, channels=256)
    skip_unless_fused((students, teachers), patchings_of())
    students = [s.requires_grad_() for s in students]
    maps = sum(s.numel() * s.element_size() for s in students)

    def step():
        loss = (1 - pyramid_pcka(students, teachers)).sum()
        return torch.autograd.grad(loss, students)

    step()
    torch.cuda.synchronize()
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    torch.cuda.set_sync_debug_mode('error')
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    assert torch.cuda.max_memory_allocated() - held < 1.25 * maps


def test_compiled_it_is_the_plain_computation():
    (student,), (teacher,) = pyramid([(50, 84)])
    compiled = torch.compile(lambda s, t: pcka(s, t, 16))
    torch.testing.assert_close(compiled(student, teacher), pcka(student, teacher, 16))
