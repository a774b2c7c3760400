"""Correlation kernels against scikit-learn, SciPy and the definition, and their edge cases."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import cosine_similarity

from mmkd.functional import feature_kernel, feature_kernel_distance


def features(rows, width, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(rows, width, generator=generator, dtype=torch.float64) + 0.3).to(dtype)


def loop_distance(student, *teachers):
    """Algorithm 1, pair by pair, with SciPy's cosines."""
    kernels = [1 - cdist(x, x, 'cosine') for x in (student.numpy(), *(t.numpy() for t in teachers))]
    total, rows = 0.0, len(student)
    for i in range(rows):
        for j in range(rows):
            if i != j:
                target = sum(kernel[i, j] for kernel in kernels[1:]) / len(teachers)
                total += (kernels[0][i, j] - target) ** 2
    return total / (rows * (rows - 1))


@pytest.mark.parametrize('shape', [(7, 3), (3, 7), (1, 4), (5, 1)])
def test_kernel_equals_scikit_learn(shape):
    x = features(*shape)
    np.testing.assert_allclose(feature_kernel(x), cosine_similarity(x.numpy()), atol=1e-14)


def test_kernel_hand_computed():
    x = torch.tensor([[2.0, 0.0], [3.0, 4.0], [-1.0, 0.0], [0.0, 0.0]])
    expected = torch.tensor(
        [
            [1.0, 0.6, -1.0, 0.0],
            [0.6, 1.0, -0.6, 0.0],
            [-1.0, -0.6, 1.0, 0.0],
            [0.0, 0.0, 0.0, 0.0],
        ]
    )
    torch.testing.assert_close(feature_kernel(x), expected)


def test_kernel_does_not_see_rotation_or_the_scale_of_each_sample():
    x = features(6, 4)
    rotation = torch.linalg.qr(features(4, 4, seed=1)).Q
    scale = torch.tensor([1e-3, 0.5, 1.0, 2.0, 7.0, 1e3], dtype=x.dtype)[:, None]
    torch.testing.assert_close(feature_kernel(scale * x @ rotation), feature_kernel(x))
    assert (feature_kernel(x + 1) - feature_kernel(x)).abs().max() > 1e-2  # it is not centered


def test_kernel_is_positive_semidefinite():
    eigenvalues = torch.linalg.eigvalsh(feature_kernel(features(9, 4)))
    assert eigenvalues.min() > -1e-12
    assert (eigenvalues > 1e-9).sum() == 4


@pytest.mark.parametrize('widths', [(4,), (6,), (6, 2, 9)], ids=str)
def test_distance_equals_the_definition(widths):
    student = features(7, 4)
    teachers = [features(7, width, seed=seed) for seed, width in enumerate(widths, 1)]
    expected = loop_distance(student, *teachers)
    assert feature_kernel_distance(student, *teachers).item() == pytest.approx(expected, rel=1e-12)


def test_distance_hand_computed():
    student = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])  # cosines 0, 1, 0
    first = torch.tensor([[1.0], [1.0], [-1.0]])  # 1, -1, -1
    second = torch.tensor([[5.0], [-1.0], [-1.0]])  # -1, -1, 1; their mean is 0, -1, 0
    assert feature_kernel_distance(student, first).item() == pytest.approx((1 + 4 + 1) / 3)
    assert feature_kernel_distance(student, first, second).item() == pytest.approx(4 / 3)


def test_distance_reaches_four_for_opposite_kernels():
    student = torch.tensor([[1.0], [-1.0]])
    assert feature_kernel_distance(student, student.abs()).item() == 4


def test_distance_of_one_pair_does_not_depend_on_scale_but_on_angle():
    student, teacher = features(5, 3), features(5, 6, seed=1)
    value = feature_kernel_distance(student, teacher)
    torch.testing.assert_close(feature_kernel_distance(1e-3 * student, 50 * teacher), value)
    turned = torch.cat([-student[:1], student[1:]])
    assert abs(feature_kernel_distance(turned, teacher) - value) > 1e-3


def test_distance_is_permutation_invariant():
    student, teacher = features(8, 3), features(8, 6, seed=1)
    order = torch.arange(8).roll(3)
    value = feature_kernel_distance(student, teacher)
    torch.testing.assert_close(feature_kernel_distance(student[order], teacher[order]), value)
    assert abs(feature_kernel_distance(student[order], teacher) - value) > 1e-3


def test_an_ensemble_of_copies_is_one_teacher():
    student, teacher = features(6, 3), features(6, 5, seed=1)
    copies = [teacher, 2 * teacher, 3 * teacher]
    torch.testing.assert_close(
        feature_kernel_distance(student, *copies), feature_kernel_distance(student, teacher)
    )


def test_zero_without_gradient_when_equal():
    student = features(6, 3).requires_grad_()
    value = feature_kernel_distance(student, student.detach().clone())
    value.backward()
    assert value == 0
    assert not student.grad.any()


@pytest.mark.parametrize('count', [1, 2])
def test_gradcheck(count):
    arguments = [
        features(5, width, seed=width).requires_grad_() for width in (3, 4, 6)[: count + 1]
    ]
    assert torch.autograd.gradcheck(feature_kernel, arguments[0])
    assert torch.autograd.gradcheck(feature_kernel_distance, arguments)


def test_a_gradient_step_lowers_the_distance():
    student, teacher = features(6, 3).requires_grad_(), features(6, 5, seed=1)
    before = feature_kernel_distance(student, teacher)
    before.backward()
    assert feature_kernel_distance(student.detach() - student.grad, teacher) < before


def test_samples_of_zeros_have_no_gradient_and_do_not_touch_the_others():
    x = features(4, 3)
    padded = torch.cat([x, torch.zeros(2, 3, dtype=x.dtype)]).requires_grad_()
    weight = features(6, 6, seed=1)
    kernel = feature_kernel(padded)
    (kernel * weight).sum().backward()
    assert torch.equal(kernel[:4, :4], feature_kernel(x))
    assert not kernel[4:].any()
    assert not kernel[:, 4:].any()
    assert not padded.grad[4:].any()
    assert (padded.grad[:4].abs() > 0).all()


def test_a_student_of_zeros_or_constants_has_no_gradient():
    teacher = features(5, 4, torch.float32)
    for fill in (0.0, 0.1, 6e4):
        student = torch.full((5, 3), fill, requires_grad=True)
        value = feature_kernel_distance(student, teacher)
        value.backward()
        target = feature_kernel(teacher) - float(fill > 0)
        off_diagonal = target[~torch.eye(5, dtype=torch.bool)]
        torch.testing.assert_close(value, off_diagonal.square().mean())
        assert (student.grad * student).abs().max() < 1e-6  # its gradient is relative to 1 / scale


def test_a_single_sample_gives_zero_without_gradient():
    student = torch.randn(1, 3, requires_grad=True)
    value = feature_kernel_distance(student, torch.zeros(1, 4))
    value.backward()
    assert value == 0
    assert not student.grad.any()


@pytest.mark.parametrize('rows', [1, 4])
@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
@pytest.mark.parametrize('which', [0, 1])
def test_a_diverged_input_is_not_hidden(rows, bad, which):
    pair = [features(rows, 3, torch.float32), features(rows, 5, torch.float32, seed=1)]
    pair[which][0, 0] = bad
    assert feature_kernel_distance(*pair).isnan()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_upcast(dtype):
    student, teacher = features(5, 3, dtype), features(5, 6, dtype, seed=1)
    value = feature_kernel_distance(student, teacher)
    assert value.dtype == torch.float32
    assert torch.equal(value, feature_kernel_distance(student.float(), teacher.float()))


@pytest.mark.parametrize('scale', [1e-30, 1e-15, 1e15, 1e30])
def test_extreme_scales(scale):
    x = features(6, 3, torch.float32)
    scaled = (x * scale).requires_grad_()
    kernel = feature_kernel(scaled)
    torch.testing.assert_close(kernel, feature_kernel(x))
    kernel[0, 1].backward()
    plain = x.clone().requires_grad_()
    feature_kernel(plain)[0, 1].backward()
    torch.testing.assert_close(scaled.grad * scale, plain.grad)


def test_autocast_changes_nothing():
    plain, cast = (features(5, 3, torch.float32).requires_grad_() for _ in range(2))
    teacher = features(5, 6, torch.float32, seed=1)
    expected = feature_kernel_distance(plain, teacher)
    expected.backward()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = feature_kernel_distance(cast, teacher)
    value.backward()
    assert torch.equal(value, expected)
    assert torch.equal(cast.grad, plain.grad)


def test_errors():
    x = torch.randn(4, 3)
    with pytest.raises(ValueError, match=r'features: expected a shape \(B, D\), got \(4, 3, 1\)'):
        feature_kernel(x[..., None])
    with pytest.raises(ValueError, match=r'student: expected a shape \(B, D\), got \(3,\)'):
        feature_kernel_distance(x[0], x)
    message = r'teachers\[1\]: expected a shape \(4, D\), got \(3, 3\)'
    with pytest.raises(ValueError, match=message):
        feature_kernel_distance(x, x, x[1:])
    with pytest.raises(TypeError, match=r'teachers: expected .* at least one teacher, got none'):
        feature_kernel_distance(x)
