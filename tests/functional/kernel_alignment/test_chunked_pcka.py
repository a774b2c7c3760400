"""PCKA in chunks against the plain computation of all groups at once."""

import pytest
import torch

from mmkd.functional import pcka
from mmkd.functional.kernel_alignment.chunked_pcka import _chunks, can_be_chunked, chunked_pcka
from mmkd.functional.kernel_alignment.patches import Patching
from mmkd.functional.kernel_alignment.pcka import whole_pcka

CHUNK_PIXELS = 'mmkd.functional.kernel_alignment.chunked_pcka._chunk_pixels'
PATCHING = Patching(4, 'channel', 'resize')


def maps(shape=(2, 5, 10, 13), dtype=torch.float64):
    student, noise = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return student + 0.5, student + noise


def value_and_gradient(function, student, teacher, *options):
    student = student.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    value = function(student, teacher, *options)
    return value.detach(), torch.autograd.grad(3 * value, student)[0]


@pytest.fixture(params=[1, 2 * 10 * 13 * 2, 2**19], ids=['each alone', 'unequal', 'all at once'])
def chunks(request, monkeypatch):
    """Chunks of one, two (of five channels) and all groups."""
    monkeypatch.setattr(CHUNK_PIXELS, lambda _: request.param)


@pytest.fixture
def small(monkeypatch):
    """Even the small maps of these tests are cut into chunks."""
    monkeypatch.setattr(CHUNK_PIXELS, lambda _: 1)


@pytest.mark.parametrize('average', ['channel', 'batch'])
@pytest.mark.parametrize('fit', ['resize', 'pad'])
@pytest.mark.parametrize(('center', 'unbiased'), [(True, False), (False, False), (True, True)])
def test_equals_the_plain_computation(chunks, average, fit, center, unbiased):
    patching = Patching(4, average, fit)
    options = (patching, center, unbiased)
    expected = value_and_gradient(whole_pcka, *maps(), *options)
    chunked = value_and_gradient(chunked_pcka, *maps(), *options)
    torch.testing.assert_close(chunked, expected, rtol=1e-9, atol=1e-12)


def test_equals_the_plain_computation_in_float32_on_a_pyramid_level():
    student, teacher = maps((2, 16, 50, 84), torch.float32)
    patching = Patching(16, 'channel', 'resize')
    value, gradient = value_and_gradient(chunked_pcka, student, teacher, patching, True, False)
    expected, expected_gradient = value_and_gradient(whole_pcka, student, teacher, patching)
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-6)
    error = (gradient - expected_gradient).abs().max() / expected_gradient.abs().max()
    assert error < 1e-5


@pytest.mark.parametrize('options', [{}, {'center': False}, {'unbiased': True}, {'fit': 'pad'}])
@pytest.mark.parametrize('average', ['channel', 'batch'])
def test_gradcheck_of_the_student(small, average, options):
    student, teacher = maps((2, 2, 5, 6))
    patching = Patching(3, average, options.get('fit', 'resize'))
    assert can_be_chunked(student, teacher, patching)
    assert torch.autograd.gradcheck(
        lambda s: pcka(s, teacher, 3, average=average, **options), student.requires_grad_()
    )


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_upcast_before_anything(small, dtype):
    student, teacher = (t.to(dtype) for t in maps(dtype=torch.float32))
    value, gradient = value_and_gradient(pcka, student, teacher, 4)
    expected = value_and_gradient(pcka, student.float(), teacher.float(), 4)
    assert (value.dtype, gradient.dtype) == (torch.float32, dtype)
    assert torch.equal(value, expected[0])
    assert torch.equal(gradient, expected[1].to(dtype))


def test_layouts_in_memory_do_not_matter(small):
    student, teacher = maps()
    expected = value_and_gradient(pcka, student, teacher, 4)
    last = student.contiguous(memory_format=torch.channels_last)
    strided = teacher.repeat_interleave(2, 3)[..., ::2]
    value, gradient = value_and_gradient(pcka, last, strided, 4)
    torch.testing.assert_close((value, gradient), expected)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_either_in_float64_gives_float64(small):
    student, teacher = maps(dtype=torch.float32)
    for pair in ((student.double(), teacher), (student, teacher.double())):
        value, gradient = value_and_gradient(pcka, *pair, 4)
        assert (value.dtype, gradient.dtype) == (torch.float64, pair[0].dtype)


def test_keeps_only_the_student_and_square_matrices_for_backward():
    student, teacher = maps((2, 8, 30, 40), torch.float32)
    value = chunked_pcka(student.requires_grad_(), teacher, PATCHING, True, False)
    patches = 8 * 10
    kept_student, *others = value.grad_fn.saved_tensors
    assert kept_student.data_ptr() == student.data_ptr()
    assert sum(tensor.numel() for tensor in others) == 8 * patches**2


def test_autocast_around_backward_changes_nothing(small):
    student, teacher = maps(dtype=torch.float32)
    _, expected = value_and_gradient(pcka, student, teacher, 4)
    with torch.autocast('cpu', torch.bfloat16):
        _, gradient = value_and_gradient(pcka, student, teacher, 4)
    assert torch.equal(gradient, expected)


def test_backward_can_be_repeated(small):
    student, teacher = maps()
    value = pcka(student.requires_grad_(), teacher, 4)
    first = torch.autograd.grad(value, student, retain_graph=True)
    assert torch.equal(first[0], torch.autograd.grad(value, student)[0])


def test_without_gradients_the_value_is_the_same(small):
    student, teacher = maps()
    expected, _ = value_and_gradient(pcka, student, teacher, 4)
    assert torch.equal(pcka(student, teacher, 4), expected)
    with torch.no_grad():
        assert torch.equal(pcka(student.requires_grad_(), teacher, 4), expected)


@pytest.mark.parametrize(
    ('shape', 'patching', 'learns'),
    [
        ((2, 5, 10, 13), PATCHING._replace(average='spatial'), False),  # D is strided
        ((1, 5, 10, 13), PATCHING._replace(patch_size=2), False),  # 35 patches of 4 values
        ((2, 5, 10, 13), PATCHING, True),  # a gradient of the teacher is wanted
    ],
)
def test_what_it_does_not_serve_is_computed_the_plain_way(small, shape, patching, learns):
    student, teacher = maps(shape)
    teacher.requires_grad_(learns)
    assert not can_be_chunked(student, teacher, patching)
    assert can_be_chunked(student, teacher.detach(), PATCHING)
    value = pcka(student.requires_grad_(), teacher, patching.patch_size, average=patching.average)
    expected = whole_pcka(student, teacher, patching)
    assert torch.equal(value, expected)
    inputs = (student, teacher) if learns else (student,)
    gradients = (torch.autograd.grad(v, inputs) for v in (value, expected))
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_small_maps_are_computed_at_once():
    channel = torch.zeros(2, 1, 64, 96)
    pixels = 2**18 * torch.get_num_threads()
    fewest = -(-8 * pixels // channel.numel())  # channels that make eight chunks
    for channels, chunked in ((fewest - 1, False), (fewest, True)):
        wide = channel.expand(-1, channels, -1, -1)
        assert can_be_chunked(wide, wide, PATCHING._replace(patch_size=16)) == chunked


def test_elsewhere_chunks_are_few_and_large():
    patching = PATCHING._replace(patch_size=16)
    for batch, size, chunks in ((3, (50, 84), 0), (2, (100, 168), 8), (16, (100, 168), 8)):
        features = torch.zeros(batch, 256, *size, device='meta')
        assert can_be_chunked(features, features, patching) == bool(chunks)
        if chunks:
            assert len(_chunks(features, patching)) == chunks
