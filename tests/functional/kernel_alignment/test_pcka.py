"""PCKA against plain loops, gradients, precision and edge cases."""

import pytest
import torch
from torch.nn import functional as F

from mmkd.functional import pcka

AVERAGES = pytest.mark.parametrize('average', ['channel', 'batch', 'spatial'])


def maps(shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    student, noise = torch.randn(2, *shape, generator=generator, dtype=dtype)
    return student, student + noise


def loop_patches(feature, p, fit):
    """List of patches, each (B, C, p, p)."""
    height, width = (-(-side // p) * p for side in feature.shape[-2:])
    if fit == 'pad':
        padded = feature.new_zeros(*feature.shape[:2], height, width)
        padded[..., : feature.shape[2], : feature.shape[3]] = feature
        feature = padded
    else:
        feature = F.interpolate(feature, size=(height, width), mode='bilinear')
    return [
        feature[..., y : y + p, x : x + p] for y in range(0, height, p) for x in range(0, width, p)
    ]


def loop_matrices(patches, average):
    """One N x D matrix per channel, image or position."""
    b, c, p, _ = patches[0].shape
    pick = {
        'channel': [lambda t, i=i: t[:, i] for i in range(c)],
        'batch': [lambda t, i=i: t[i] for i in range(b)],
        'spatial': [lambda t, i=i: t[:, :, i // p, i % p] for i in range(p * p)],
    }[average]
    return [torch.stack([select(t).reshape(-1) for t in patches]) for select in pick]


def loop_cka(x, y, center):
    if center:
        x, y = x - x.mean(0), y - y.mean(0)
    k, l = x @ x.T, y @ y.T  # noqa: E741
    return (k * l).sum() / (k.norm() * l.norm())


def loop_pcka(student, teacher, p, average, fit, center, transpose=False):
    values = []
    matrices = (
        loop_matrices(loop_patches(feature, p, fit), average) for feature in (student, teacher)
    )
    for x, y in zip(*matrices, strict=True):
        values.append(loop_cka(x.T, y.T, center) if transpose else loop_cka(x, y, center))
    return sum(values) / len(values)


@AVERAGES
@pytest.mark.parametrize('fit', ['resize', 'pad'])
@pytest.mark.parametrize('center', [True, False])
@pytest.mark.parametrize('transpose', [False, True])
def test_equals_plain_loops(average, fit, center, transpose):
    student, teacher = maps((2, 3, 10, 13))
    student, teacher = student + 0.5, teacher + 0.5
    options = {'average': average, 'fit': fit, 'center': center, 'transpose': transpose}
    expected = loop_pcka(student, teacher, 4, **options)
    torch.testing.assert_close(pcka(student, teacher, 4, **options), expected)


def test_equals_plain_loops_with_more_patches_than_features():
    student, teacher = maps((1, 3, 10, 13))
    expected = loop_pcka(student, teacher, 2, 'channel', 'resize', center=True)
    torch.testing.assert_close(pcka(student, teacher, 2), expected)


@AVERAGES
@pytest.mark.parametrize(
    'options',
    [{}, {'fit': 'pad'}, {'center': False}, {'unbiased': True}, {'transpose': True}],
    ids=['default', 'pad', 'uncentered', 'unbiased', 'transpose'],
)
def test_gradcheck(average, options):
    student, teacher = maps((2, 2, 4, 5))
    arguments = (student.requires_grad_(), teacher.requires_grad_())

    def function(s, t):
        return pcka(s, t, 3, average=average, **options)

    assert torch.autograd.gradcheck(function, arguments)


def test_gradient_equals_that_of_plain_loops_in_float32():
    student, teacher = maps((2, 4, 20, 30), torch.float32)
    ours, loops = student.clone().requires_grad_(), student.clone().requires_grad_()
    pcka(ours, teacher, 8).backward()
    loop_pcka(loops, teacher, 8, 'channel', 'resize', center=True).backward()
    scale = loops.grad.abs().max()
    assert (ours.grad - loops.grad).abs().max() < 1e-5 * scale


def test_channels_last_gives_the_same():
    student, teacher = maps((2, 3, 10, 13))
    last = student.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(pcka(last, teacher, 4), pcka(student, teacher, 4))


@AVERAGES
def test_equal_maps_give_one_and_no_gradient(average):
    student, _ = maps((2, 3, 10, 13), torch.float32)
    value = pcka(student.requires_grad_(), student.detach().clone(), 4, average=average)
    value.backward()
    assert value.item() == pytest.approx(1, abs=1e-7)
    # Two products of the same matrices may sum in another order.
    assert student.grad.abs().max() < 1e-8


@AVERAGES
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_equals_float32_of_the_same_numbers(average, dtype):
    student, teacher = (t.to(dtype) for t in maps((2, 3, 10, 13), torch.float32))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        half = pcka(student.requires_grad_(), teacher, 4, average=average)
    half.backward()
    single = student.detach().float().requires_grad_()
    full = pcka(single, teacher.float(), 4, average=average)
    full.backward()
    assert half.dtype == torch.float32
    assert torch.equal(half, full)
    assert torch.equal(student.grad, single.grad.to(dtype))


def test_large_half_precision_values_do_not_overflow():
    student, teacher = maps((2, 3, 32, 32), torch.float32)
    loud = (1e4 * student).half().requires_grad_()
    value = pcka(loud, teacher.half(), 4)
    value.backward()
    torch.testing.assert_close(value, pcka(student, teacher, 4), rtol=1e-3, atol=1e-4)
    assert loud.grad.isfinite().all()


@AVERAGES
@pytest.mark.parametrize('transpose', [False, True])
@pytest.mark.parametrize('fill', [0.0, 0.1, 1e4])
def test_a_constant_map_counts_as_one_without_gradient(average, transpose, fill):
    student, teacher = maps((2, 3, 10, 13), torch.float32)
    constant = torch.full_like(student, fill)
    for s, t in ((student, constant), (constant, teacher)):
        s = s.clone().requires_grad_()
        value = pcka(s, t, 4, average=average, transpose=transpose)
        value.backward()
        assert value.item() == 1
        assert not s.grad.any()


def test_a_constant_channel_counts_as_one():
    student, teacher = maps((2, 3, 8, 12))
    alone = pcka(student[:, 1:], teacher[:, 1:], 4)
    student[:, 0] = 0.7
    torch.testing.assert_close(pcka(student, teacher, 4), (1 + 2 * alone) / 3)


def test_small_map_halves_the_patch():
    student, teacher = maps((2, 3, 13, 21))
    assert pcka(student, teacher, 16) == pcka(student, teacher, 8)
    assert pcka(student, teacher, 16) != pcka(student, teacher, 16, min_patches=2)


def test_map_below_min_patches_counts_as_one_and_stays_in_the_graph():
    student = torch.randn(2, 3, 1, 3, requires_grad=True)
    value = pcka(student, torch.randn(2, 3, 1, 3))
    value.backward()
    assert value.item() == pytest.approx(1, abs=1e-7)
    # Two products of the same matrices may sum in another order.
    assert student.grad.abs().max() < 1e-8


def test_a_diverged_map_is_not_hidden():
    student, teacher = maps((2, 3, 8, 12), torch.float32)
    student[0, 0, 0, 0] = float('nan')
    assert pcka(student, teacher, 4).isnan()


def test_keeps_of_the_teacher_only_its_gram_matrices():
    student, teacher = maps((2, 3, 16, 24), torch.float32)
    saved = []

    def pack(tensor):
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        pcka(student.requires_grad_(), teacher, 4)
    layouts = {t.data_ptr() for t in saved if t.numel() >= student.numel()}
    assert len(layouts) == 1


@pytest.mark.parametrize(
    ('shape', 'options', 'message'),
    [
        ((2, 4, 8, 8), {}, r"teacher: expected the student's shape \(2, 3, 8, 8\), got \(2, 4, 8,"),
        ((2, 3, 8, 8), {'patch_size': 0}, 'patch_size: expected a positive integer, got 0'),
        ((2, 3, 8, 8), {'min_patches': 0}, 'min_patches: expected a positive integer, got 0'),
        ((2, 3, 8, 8), {'average': 'mix'}, "average: expected one of .* got 'mix'"),
        ((2, 3, 8, 8), {'unbiased': True, 'center': False}, 'center: expected True'),
        (
            (2, 3, 8, 8),
            {'unbiased': True, 'min_patches': 3},
            'min_patches: expected at least 4 rows for unbiased=True, got 3',
        ),
    ],
)
def test_errors(shape, options, message):
    with pytest.raises(ValueError, match=message):
        pcka(torch.randn(2, 3, 8, 8), torch.randn(shape), **options)
