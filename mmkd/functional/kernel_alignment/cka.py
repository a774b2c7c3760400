"""Linear centered kernel alignment (CKA), biased and unbiased."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmkd.functional.checks import check_same_rows
from mmkd.functional.numerics import l2_normalize, limited, upcast
from mmkd.functional.saturation import saturating

MIN_UNBIASED_ROWS = 4
# Deviations below this many ulps of the data count as rounding errors.
_ROUNDING_ULPS = 16


class Gram(NamedTuple):
    """Gram matrix of the (centered) rows, and the squared norm that centering removed."""

    matrix: Tensor  # (..., N, N)
    removed: Tensor  # (...)


@saturating
def cka(
    x: Tensor,
    y: Tensor,
    *,
    center: bool = True,
    unbiased: bool = False,
    normalize: bool = False,
    degenerate: float = 0.0,
) -> Tensor:
    r"""Linear CKA of two sets of representations of the same N things.

    $$
    \mathrm{CKA} = \frac{\langle K, L \rangle_F}{\|K\|_F \|L\|_F}
                 = \frac{\|Y^\top X\|_F^2}{\|X^\top X\|_F \|Y^\top Y\|_F},
    \qquad K = X X^\top,\; L = Y Y^\top
    $$

    Kornblith et al., ICML 2019, eq. 1-4: <https://arxiv.org/abs/1905.00414>. The function computes
    whichever side is smaller, N x N or P x Q. Rotating or scaling an argument changes nothing.

    ``normalize=True`` divides row i of K and of L by the length of row i of x and of y. The rows of
    K are then $K_i / \sqrt{K_{ii}}$, so K is no longer symmetric. The code of RCKA's authors does
    this, without centering.

    Args:
        x: One row a thing. Shape (..., N, P).
        y: One row a thing. Shape (..., N, Q). Its leading dimensions broadcast with those of ``x``.
        center: Subtract each column's mean over the N rows first. Without centering, unrelated
            non-negative features read close to 1.
        unbiased: Use the HSIC_1 estimator (Song et al. 2012; Nguyen et al. 2021, eq. 3). It needs
            ``center=True`` and N >= 4 or no rows. Its mean is near 0 for unrelated features, where
            the biased value grows with P / N.
        normalize: Divide row i of both Gram matrices by the length of row i of the argument. A row
            of zeros stays 0. It does not go with ``unbiased``.
        degenerate: Value, with a zero gradient, where a Gram matrix vanishes up to rounding. This
            happens for constant input, for no rows and, if centered, for one row.

    Returns:
        Shape (...), at most 1, in float32 (float64 if an argument is).

    Raises:
        ValueError: If the row counts differ or do not suit ``unbiased``, or if ``unbiased`` and
            ``normalize`` are both True.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
        >>> cka(x, 3 * x + 5)
        tensor(1.)
        >>> cka(x, x[:, :1])
        tensor(0.7906)
    """
    check_same_rows(x, y)
    if unbiased:
        check_unbiased(center, 'x', x.shape[-2], normalize)
    rows, widths = x.shape[-2], (x.shape[-1], y.shape[-1])
    with torch.autocast(x.device.type, enabled=False):
        x, y = (limited(upcast(rows), power=2, dim=(-2, -1)) for rows in (x, y))
        if normalize:
            similarity, vanishing = _compare_normalized(x, y, center)
        elif rows <= max(widths):
            similarity, vanishing = compare_grams(gram(x, center), gram(y, center), unbiased)
        else:
            similarity, vanishing = _compare_features(x, y, center, unbiased)
        return similarity.masked_fill(vanishing, degenerate)


def gram(x: Tensor, center: bool = True, *, overwrite: bool = False) -> Gram:
    """Gram matrix of the rows of ``x``, shape (..., N, P), with a closed-form gradient.

    Args:
        x: Matrices in float32 or float64.
        center: Subtract each column's mean first.
        overwrite: Center in place. Nothing else may read ``x`` afterwards.
    """
    return Gram(*_Gram.apply(x, center, overwrite))


class _Gram(torch.autograd.Function):
    """K = (Hx)(Hx)^T. Backward takes one matrix product and centers only an N x N matrix."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, center: bool, overwrite: bool) -> tuple[Tensor, Tensor]:
        removed = x.new_zeros(x.shape[:-2])
        if center and x.shape[-2]:  # the mean of no rows is NaN
            mean = x.mean(-2, keepdim=True)
            removed = x.shape[-2] * mean.square().sum((-2, -1))
            x = x.sub_(mean) if overwrite else x - mean
        ctx.save_for_backward(x)
        ctx.center = center
        ctx.mark_non_differentiable(removed)
        return x @ x.mT, removed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):  # backward may run inside autocast
            return row_gradient(grad, ctx.center) @ x, None, None


def row_gradient(grad: Tensor, center: bool) -> Tensor:
    """Matrix whose product with x is the gradient of x, given the gradient of its Gram matrix."""
    grad = grad + grad.mT
    return grad - grad.mean(-2, keepdim=True) if center else grad


def compare_grams(first: Gram, second: Gram, unbiased: bool = False) -> tuple[Tensor, Tensor]:
    """Cosine of two Gram matrices, and where it is undefined because one vanishes."""
    k, k_vanishing = _scaled_gram(first, unbiased)
    l, l_vanishing = _scaled_gram(second, unbiased)  # noqa: E741  (K and L: the literature's names)
    return _Cosine.apply(*torch.broadcast_tensors(k, l)), k_vanishing | l_vanishing


class _Cosine(torch.autograd.Function):
    """Cosine of matrices. The closed-form gradient takes a third of autograd's passes over them.

    For unit vectors cos = 1 - |k - l|^2 / 2, which is at most 1. Equal matrices have exactly 1 and
    no gradient.
    """

    @staticmethod
    def forward(ctx: Any, k: Tensor, l: Tensor) -> Tensor:  # noqa: E741
        k_norm, l_norm = (norm.masked_fill(norm == 0, 1.0) for norm in (_norm(k), _norm(l)))
        k = k / k_norm
        difference = k - l / l_norm
        distance = difference.square().sum((-2, -1), keepdim=True) / 2
        ctx.save_for_backward(k, difference, distance, k_norm, l_norm)
        return 1 - distance[..., 0, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        k, difference, distance, k_norm, l_norm = ctx.saved_tensors
        grad = grad[..., None, None]
        of_k = of_l = None
        if ctx.needs_input_grad[0]:  # (l - k cos) / |K|
            of_k = torch.addcmul(-difference, k, distance).mul_(grad / k_norm)
        if ctx.needs_input_grad[1]:  # (k - l cos) / |L|
            of_l = torch.addcmul(difference, k - difference, distance).mul_(grad / l_norm)
        return of_k, of_l


def _scaled_gram(k: Gram, unbiased: bool) -> tuple[Tensor, Tensor]:
    """Gram matrix of trace 1, U-centered if unbiased, and where it vanishes."""
    trace = k.matrix.detach().diagonal(dim1=-2, dim2=-1).sum(-1)
    vanishing = _vanishes(trace, k.removed)
    # Dividing by the constant trace keeps squares in range. The cosine does not change.
    # Dividing by infinity makes what vanishes exactly 0.
    matrix = k.matrix / trace.masked_fill(vanishing, math.inf)[..., None, None]
    if unbiased:
        before = _norm(matrix.detach())[..., 0, 0]
        matrix = _u_center(matrix)
        after = _norm(matrix.detach())[..., 0, 0]
        vanishing = vanishing | (after <= _tolerance(matrix) * before)
    return matrix, vanishing


def _u_center(k: Tensor) -> Tensor:
    """U-centered Gram matrix of centered rows (Szekely & Rizzo 2014).

    Inner products of these are HSIC_1 times N (N - 3). Without its diagonal, row i of a centered
    Gram matrix sums to -K_ii.
    """
    n = k.shape[-1]
    diagonal = k.diagonal(dim1=-2, dim2=-1)
    row = diagonal[..., :, None] + diagonal[..., None, :]
    total = diagonal.sum(-1)[..., None, None]
    centered = k + row / (n - 2) - total / ((n - 1) * (n - 2))
    return centered.masked_fill(torch.eye(n, dtype=torch.bool, device=k.device), 0.0)


def _compare_features(x: Tensor, y: Tensor, center: bool, unbiased: bool) -> tuple[Tensor, Tensor]:
    """Like `compare_grams`, but from the P x Q side, for many rows of few columns."""
    x, x_vanishing = _scaled(x, center)
    y, y_vanishing = _scaled(y, center)
    xx, xx_vanishing = _inner(x, x, unbiased)
    yy, yy_vanishing = _inner(y, y, unbiased)
    xy, _ = _inner(x, y, unbiased)
    vanishing = x_vanishing | y_vanishing | xx_vanishing | yy_vanishing
    norms = (xx * yy).masked_fill(vanishing, 1.0).sqrt()
    return (xy / norms).clamp(-1.0, 1.0), vanishing


def _compare_normalized(x: Tensor, y: Tensor, center: bool) -> tuple[Tensor, Tensor]:
    """Cosine of Gram matrices whose row i is divided by the length of row i of the argument."""
    x, x_vanishing = _scaled(x, center)
    y, y_vanishing = _scaled(y, center)
    vanishing = x_vanishing | y_vanishing
    unit_x, unit_y = l2_normalize(x), l2_normalize(y)
    if x.shape[-2] <= max(x.shape[-1], y.shape[-1]):
        return _Cosine.apply(*torch.broadcast_tensors(unit_x @ x.mT, unit_y @ y.mT)), vanishing

    def inner(unit_a: Tensor, a: Tensor, unit_b: Tensor, b: Tensor) -> Tensor:
        return ((unit_a.mT @ unit_b) * (a.mT @ b)).sum((-2, -1))

    xx, yy = inner(unit_x, x, unit_x, x), inner(unit_y, y, unit_y, y)
    norms = (xx * yy).masked_fill(vanishing, 1.0).sqrt()
    return (inner(unit_x, x, unit_y, y) / norms).clamp(-1.0, 1.0), vanishing


def _scaled(x: Tensor, center: bool) -> tuple[Tensor, Tensor]:
    """Centered rows at unit Frobenius norm, and where nothing is left after centering."""
    removed = x.new_zeros(x.shape[:-2])
    if center and x.shape[-2]:  # the mean of no rows is NaN
        mean = x.mean(-2, keepdim=True)
        removed = x.shape[-2] * mean.detach().square().sum((-2, -1))
        x = x - mean
    trace = x.detach().square().sum((-2, -1))
    vanishing = _vanishes(trace, removed)
    return x / trace.masked_fill(vanishing, math.inf).sqrt()[..., None, None], vanishing


def _inner(x: Tensor, y: Tensor, unbiased: bool) -> tuple[Tensor, Tensor]:
    """<K, L> without forming the (U-centered) Gram matrices, and where it is only rounding."""
    biased = (x.mT @ y).square().sum((-2, -1))
    if not unbiased:
        return biased, torch.zeros_like(biased, dtype=torch.bool)
    n = x.shape[-2]
    k_ii, l_ii = x.square().sum(-1), y.square().sum(-1)
    traces = k_ii.sum(-1) * l_ii.sum(-1)
    inner = biased - n / (n - 2) * (k_ii * l_ii).sum(-1) + traces / ((n - 1) * (n - 2))
    return inner, inner.detach() <= _tolerance(x) * biased.detach()


def _vanishes(trace: Tensor, removed: Tensor) -> Tensor:
    # `<=` is False for NaN, so a diverged network gives NaN and not a perfect match.
    smallest = torch.finfo(trace.dtype).tiny
    return trace <= (_tolerance(trace) ** 2 * removed).clamp(min=smallest)


def _tolerance(x: Tensor) -> float:
    return _ROUNDING_ULPS * torch.finfo(x.dtype).eps


def _norm(matrix: Tensor) -> Tensor:
    return torch.linalg.vector_norm(matrix, dim=(-2, -1), keepdim=True)


def check_unbiased(center: bool, name: str, rows: int, normalize: bool = False) -> None:
    """Raise ValueError unless the options and the ``rows`` of ``name`` suit the unbiased estimator.

    It takes at least 4 rows, or none.
    """
    if normalize:
        raise ValueError(
            'normalize: expected False with unbiased=True, got True; set one of them to False'
        )
    if not center:
        raise ValueError(
            'center: expected True with unbiased=True, got False; set center=True or unbiased=False'
        )
    if 0 < rows < MIN_UNBIASED_ROWS:
        raise ValueError(
            f'{name}: expected at least {MIN_UNBIASED_ROWS} rows for unbiased=True, got {rows}'
        )
