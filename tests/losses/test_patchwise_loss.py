"""PatchwiseLoss against loops that call MMRazor's losses, by hand, in a distiller, errors."""

import math
import warnings

import pytest
import torch
from helpers import distiller_config, toy_detector
from mmrazor.models.losses import ATLoss, DISTLoss, KLDivergence
from torch import nn
from torch.nn import functional as F

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.losses import MMDLoss, PatchwiseLoss
from mmkd.registry import MODELS
from mmkd.teachers import FrozenTeacher

SIZES = ((8, 12), (4, 8))
PATCH = 4
LOSSES = pytest.mark.parametrize(
    ('loss', 'layout'),
    [
        (KLDivergence(tau=2.0), 'rows'),
        (KLDivergence(tau=2.0, reduction='sum'), 'rows'),
        (DISTLoss(), 'rows'),
        (MMDLoss(loss_weight=3.0), 'rows'),
        (ATLoss(), 'map'),
    ],
    ids=['kl', 'kl-sum', 'dist', 'mmd', 'at'],
)


def pyramid(seed, dtype=torch.float32, requires_grad=False):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        (torch.randn(2, 3, *size, generator=generator) + 0.3)
        .to(dtype)
        .requires_grad_(requires_grad)
        for size in SIZES
    )


def patches_of_channel(feature, channel):
    """Patches in row-major order. A row holds the pixels of all images."""
    rows = []
    for top in range(0, feature.shape[2], PATCH):
        for left in range(0, feature.shape[3], PATCH):
            patch = feature[:, channel, top : top + PATCH, left : left + PATCH]
            rows.append(patch.flatten())
    return torch.stack(rows)


def attention_distance(student, teacher):
    """AT of the rows: mean squared difference of their normalized mean squares."""
    of_student, of_teacher = student.square().mean(1), teacher.square().mean(1)
    return (of_student / of_student.norm() - of_teacher / of_teacher.norm()).square().mean()


def looped(loss, layout, student, teacher):
    """Channel by channel, level by level, calling the wrapped module itself."""
    if layout == 'map':
        loss = attention_distance
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        pairs = [(patches_of_channel(s, c), patches_of_channel(t, c)) for c in range(3)]
        total += sum(loss(*pair) for pair in pairs) / 3
    return total


@LOSSES
def test_equals_a_loop_in_value_and_gradient(loss, layout):
    student, teacher = pyramid(0, requires_grad=True), pyramid(1)
    patchwise = PatchwiseLoss(loss, layout, patch_size=PATCH, min_patches=2, loss_weight=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # torch warns of operators that it cannot batch
        value = patchwise(student, teacher)
    expected = 0.5 * looped(loss, layout, student, teacher)
    torch.testing.assert_close(value, expected)
    assert expected > 1e-3
    gradients = torch.autograd.grad(value, student)
    for ours, theirs in zip(gradients, torch.autograd.grad(expected, student), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)
        assert theirs.any()


@pytest.mark.parametrize(('reduction', 'patches'), [('batchmean', 1), ('sum', 2)])
def test_hand_computed(reduction, patches):
    student = torch.tensor([[[[0.0, 0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0, 0.0]]]])
    teacher = torch.tensor([[[[0.0, math.log(3)] * 2], [[0.0, 0.0, 0.0, 0.0]]]])
    wrapped = KLDivergence(reduction=reduction)
    loss = PatchwiseLoss(wrapped, patch_size=2, fit='pad', min_patches=2, loss_weight=10)
    # Two patches of 1 x 2, padded below by zeros: softmax of (0, ln 3, 0, 0) is (1, 3, 1, 1) / 6.
    p = torch.tensor([1, 3, 1, 1]) / 6
    divergence = (p * (p / 0.25).log()).sum()
    expected = 10 * patches * (divergence + 0) / 2  # the mean over two channels
    torch.testing.assert_close(loss(student, teacher), expected)


def test_at_is_given_an_image_whose_pixels_are_the_patches():
    student, teacher = torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4)
    student[..., 0, :2] = torch.tensor([3.0, -3.0])  # the first patch alone is attended to
    teacher[..., 1, 2:] = torch.tensor([1.0, 2.0])  # the second
    value = PatchwiseLoss(ATLoss(), 'map', patch_size=2, min_patches=2)(student, teacher)
    assert value.item() == pytest.approx((1 + 1) / 2)


@pytest.mark.parametrize('average', ['batch', 'spatial'])
def test_other_averages_are_other_groups(average):
    student, teacher = pyramid(0)[0], pyramid(1)[0]
    value = PatchwiseLoss(DISTLoss(), patch_size=PATCH, average=average)(student, teacher)
    unfolded = [F.unfold(x, PATCH, stride=PATCH).mT for x in (student, teacher)]  # B, N, C p p
    if average == 'spatial':  # p p, N, B C
        unfolded = [x.unflatten(2, (3, -1)).permute(3, 1, 0, 2).flatten(2) for x in unfolded]
    expected = sum(DISTLoss()(s, t) for s, t in zip(*unfolded, strict=True)) / len(unfolded[0])
    torch.testing.assert_close(value, expected)


def test_average_per_level_and_selected_levels():
    student, teacher = pyramid(0), pyramid(1)
    both = PatchwiseLoss(DISTLoss(), patch_size=PATCH, average=['batch', 'channel'])(
        student, teacher
    )
    first = PatchwiseLoss(DISTLoss(), patch_size=PATCH, average='batch', levels=[0])(
        student, teacher
    )
    second = PatchwiseLoss(DISTLoss(), patch_size=PATCH, levels=[1])(student, teacher)
    torch.testing.assert_close(both, first + second)
    assert abs(first - second) > 1e-3


def test_the_patch_is_halved_until_there_are_enough():
    student, teacher = pyramid(0)[1], pyramid(1)[1]  # 4 x 8 pixels
    default, fitting = (
        PatchwiseLoss(DISTLoss()),
        PatchwiseLoss(DISTLoss(), patch_size=2, min_patches=1),
    )
    assert default(student, teacher) == fitting(student, teacher)


@LOSSES
def test_zero_when_equal(loss, layout):
    student = pyramid(0, requires_grad=True)
    value = PatchwiseLoss(loss, layout, patch_size=PATCH)(student, student)
    value.backward()
    # DIST adds 1e-8 to products of norms, here about 1e-3.
    assert value.abs() < (2e-5 if isinstance(loss, DISTLoss) else 1e-6)
    assert all(level.grad.abs().max() < 1e-6 for level in student)


@LOSSES
def test_gradient_reaches_the_student_only(loss, layout):
    student, teacher = pyramid(0, requires_grad=True), pyramid(1, requires_grad=True)
    PatchwiseLoss(loss, layout, patch_size=PATCH)(student, teacher).backward()
    assert all(level.grad.any() for level in student)
    assert all(level.grad is None for level in teacher)


@LOSSES
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_upcast_and_autocast_off(loss, layout, dtype):
    student, teacher = pyramid(0, dtype), pyramid(1, dtype)
    patchwise = PatchwiseLoss(loss, layout, patch_size=PATCH)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = patchwise(student, teacher)
    assert value.dtype == torch.float32
    expected = patchwise([s.float() for s in student], [t.float() for t in teacher])
    assert torch.equal(value, expected)


def test_autocast_does_not_reach_the_wrapped_loss():
    class Products(nn.Module):
        def forward(self, student, teacher):
            return (student @ teacher.mT).mean()

    student, teacher = pyramid(0), pyramid(1)
    patchwise = PatchwiseLoss(Products(), patch_size=PATCH)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = patchwise(student, teacher)
    assert torch.equal(value, patchwise(student, teacher))


@LOSSES
@pytest.mark.parametrize('fill', [0.0, 0.1])
def test_constant_maps_are_finite(loss, layout, fill):
    student = torch.full((2, 3, 8, 12), fill, requires_grad=True)
    value = PatchwiseLoss(loss, layout, patch_size=PATCH)(student, pyramid(1)[0])
    value.backward()
    assert value.isfinite()
    assert student.grad.isfinite().all()


def test_a_diverged_student_is_not_hidden():
    student = pyramid(0)
    student[1][0, 0, 0, 0] = float('nan')
    assert PatchwiseLoss(KLDivergence(), patch_size=PATCH)(student, pyramid(1)).isnan()


def test_a_level_that_is_too_small_contributes_zero_and_warns_once():
    loss = PatchwiseLoss(KLDivergence(), patch_size=PATCH)
    student, teacher = pyramid(0), pyramid(1)
    tiny = torch.randn(2, 3, 1, 3, requires_grad=True)
    with pytest.warns(UserWarning, match='PatchwiseLoss: compared level 2 has 1 x 3 pixels, fewer'):
        value = loss((*student, tiny), (*teacher, tiny.flip(0)))
    assert value == loss(student, teacher)
    value.backward()
    assert not tiny.grad.any()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        loss((*student, tiny), (*teacher, tiny.flip(0)))


@pytest.mark.filterwarnings("ignore:reduction. 'mean'")  # torch's advice on that choice
@pytest.mark.parametrize('reduction', ['sum', 'mean', 'batchmean', 'none'])
@pytest.mark.parametrize('log_target', [False, True])
def test_batched_kl_divergence_is_torchs(reduction, log_target):
    student, teacher = torch.randn(2, 5, 4, 3).log_softmax(-1)
    target = teacher if log_target else teacher.exp()
    if not log_target:
        target[..., 0] = 0  # contributes 0, not NaN

    def loss(s, t):
        return F.kl_div(s, t, reduction=reduction, log_target=log_target)

    expected = torch.stack([loss(s, t) for s, t in zip(student, target, strict=True)])
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='There is a performance drop')
        torch.testing.assert_close(torch.vmap(loss)(student, target), expected)


@pytest.mark.parametrize(
    ('loss', 'layout', 'expected'),
    [
        ({'type': 'KLDivergence', 'tau': 4.0}, 'rows', KLDivergence(tau=4.0)),
        ({'type': 'mmkd.MMDLoss'}, 'rows', MMDLoss()),
        ({'type': 'ATLoss', 'loss_weight': 2.0}, 'map', ATLoss(loss_weight=2.0)),
    ],
    ids=['kl', 'mmd', 'at'],
)
def test_in_a_distiller_types_without_a_scope_are_mmrazors(loss, layout, expected):
    options = {'layout': layout, 'patch_size': PATCH}
    config = distiller_config(loss={'type': 'mmkd.PatchwiseLoss', 'loss': loss, **options})
    student, teacher = toy_detector(0), toy_detector(1)
    algorithm = FrozenTeacherDistill(student, FrozenTeacher(teacher), config)
    images = torch.randn(2, 3, 8, 8)
    value = algorithm(images, mode='loss')['distill.loss_feature']
    value.backward()
    maps = student.extract_feat(images), teacher.extract_feat(images)
    torch.testing.assert_close(value, PatchwiseLoss(expected, **options)(*maps))
    assert student.neck.weight.grad.any()


def test_weights_of_the_wrapped_loss_are_its_own():
    class Projected(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2 * PATCH * PATCH, 5)

        def forward(self, student, teacher):
            return (self.linear(student) - self.linear(teacher)).square().mean()

    loss = PatchwiseLoss(Projected(), patch_size=PATCH, min_patches=2)
    loss(pyramid(0), pyramid(1)).backward()
    assert loss.state_dict().keys() == {'loss.linear.weight', 'loss.linear.bias'}
    assert loss.loss.linear.weight.grad.any()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'layout': 'columns'}, r"layout: expected one of \('rows', 'map'\), got 'columns'"),
        ({'patch_size': 0}, 'patch_size: expected a positive integer, got 0'),
        ({'min_patches': 0}, 'min_patches: expected a positive integer, got 0'),
        ({'average': 'mix'}, "average: expected one of .* got 'mix'"),
        ({'average': ['batch'], 'levels': [0, 1]}, r'average: .* each of the 2 .* got'),
        ({'fit': 'crop'}, "fit: expected one of .* got 'crop'"),
        ({'loss_weight': -1}, 'loss_weight: expected a finite number >= 0, got -1'),
        ({'levels': []}, 'levels: expected distinct indices'),
    ],
)
def test_construction_errors(options, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build({'type': 'mmkd.PatchwiseLoss', 'loss': {'type': 'mmkd.MMDLoss'}, **options})


def test_input_errors():
    student = pyramid(0)[0]
    loss = PatchwiseLoss(MMDLoss())
    with pytest.raises(ValueError, match=r'shape \(2, 3, 8, 12\), got \(2, 2, 8, 12\); add a conn'):
        loss(student, student[:, :2])
    with pytest.raises(ValueError, match=r'student: expected a shape \(B, C, H, W\), got \(2, 3\)'):
        loss(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r'loss: expected a scalar .* got the shape \(24, 8\); ch'):
        PatchwiseLoss(KLDivergence(reduction='none'), patch_size=2)(student, student)
