"""SigmoidFocalLoss of mmcv.ops on the stand-in."""

import mmkd  # noqa: F401  # isort: skip  (makes mmcv.ops importable)
import math

import pytest
import torch
import torch.nn.functional as F
from mmcv import ops
from torch import Tensor

CLASSES = 4


def definition(logits: Tensor, target: Tensor, gamma: float, alpha: float) -> Tensor:
    """Lin et al. 2017, Eq. 5, on one-hot targets whose background row is zero."""
    hot = F.one_hot(target, CLASSES + 1)[:, :CLASSES].to(logits)
    p = logits.sigmoid()
    p_t = p * hot + (1 - p) * (1 - hot)
    alpha_t = alpha * hot + (1 - alpha) * (1 - hot)
    return -alpha_t * (1 - p_t) ** gamma * p_t.log()


def random_case(n: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(n, CLASSES, generator=generator, dtype=torch.float64)
    return logits.requires_grad_(), torch.arange(n) % (CLASSES + 1)


@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (0.0, 0.5), (1.5, 0.9)])
@pytest.mark.parametrize('reduction', ['none', 'sum', 'mean'])
def test_equals_the_definition_forward_and_backward(gamma, alpha, reduction):
    logits, target = random_case()
    expected = definition(logits, target, gamma, alpha)
    if reduction != 'none':
        # mmcv's mean is over samples, not over samples and classes.
        expected = expected.sum() / (len(logits) if reduction == 'mean' else 1)
    actual = ops.sigmoid_focal_loss(logits, target, gamma, alpha, None, reduction)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)
    upstream = torch.rand_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(actual, logits, upstream),
        torch.autograd.grad(expected, logits, upstream),
        rtol=1e-10,
        atol=1e-12,
    )


def test_hand_computed():
    # At logit 0 every probability is 1/2: a quarter of alpha_t log 2.
    loss = ops.sigmoid_focal_loss(torch.zeros(2, 2), torch.tensor([1, 2]), 2.0, 0.25, None, 'none')
    unit = 0.25 * math.log(2)
    expected = torch.tensor([[0.75, 0.25], [0.75, 0.75]]) * unit
    torch.testing.assert_close(loss, expected)


def test_gradcheck():
    logits, target = random_case()
    weight = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: ops.sigmoid_focal_loss(x, target, 2.0, 0.25, weight, 'sum'), logits
    )


def test_class_weight_is_that_of_the_target_and_background_counts_one():
    logits, target = random_case(5)
    weight = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)
    layer = ops.SigmoidFocalLoss(2.0, 0.25, weight, 'none')
    rows = torch.tensor([0.5, 2.0, 1.0, 3.0, 1.0])[:, None]
    torch.testing.assert_close(layer(logits, target), rows * definition(logits, target, 2.0, 0.25))


def test_saturated_logits_stay_finite():
    logits = torch.tensor([[-300.0, 300.0]], requires_grad=True)
    loss = ops.sigmoid_focal_loss(logits, torch.tensor([0]), 2.0, 0.25, None, 'sum')
    loss.backward()
    assert loss.item() == pytest.approx(0.25 * 300 + 0.75 * 300)
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.25, 0.75]]))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_float32_rounded(dtype):
    logits, target = random_case()
    half = logits.detach().to(dtype).requires_grad_()
    single = half.detach().float().requires_grad_()
    out, expected = (
        ops.sigmoid_focal_loss(x, target, 2.0, 0.25, None, 'none') for x in (half, single)
    )
    assert out.dtype == dtype
    assert torch.equal(out, expected.to(dtype))
    out.sum().backward()
    expected.sum().backward()
    assert torch.equal(half.grad, single.grad.to(dtype))


def test_without_samples():
    logits = torch.zeros(0, CLASSES, requires_grad=True)
    loss = ops.sigmoid_focal_loss(logits, torch.zeros(0, dtype=torch.long), 2.0, 0.25, None, 'sum')
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.shape == (0, CLASSES)
