"""Gram matrices of many layers, and their alignment over batches."""

import torch
from torch import Tensor


def linear_gram(x: Tensor) -> Tensor:
    """Inner products of the rows of x, shape (N, D) -> (N, N)."""
    return x @ x.mT


def median_distance(x: Tensor) -> Tensor:
    """Median distance of two different rows."""
    distances = torch.pdist(x)
    return distances.median() if len(distances) else x.new_ones(())


def rbf_gram(x: Tensor, bandwidth: Tensor | float) -> Tensor:
    """exp(-|x_i - x_j|^2 / (2 bandwidth^2)), shape (N, D) -> (N, N)."""
    squared = torch.cdist(x, x, compute_mode='donot_use_mm_for_euclid_dist').square()
    tiny = torch.finfo(x.dtype).tiny
    return (-squared / (2 * torch.as_tensor(bandwidth).square()).clamp(min=tiny)).exp()


def u_centered(gram: Tensor) -> Tensor:
    """U-centered Gram matrices (..., N, N), N >= 4: each row sums to 0, and the diagonal is 0.

    The inner product of two, divided by N (N - 3), is the unbiased estimator HSIC_1 (Song et al.
    2012, "Feature Selection via Dependence Maximization").
    """
    n = gram.shape[-1]
    diagonal = torch.eye(n, dtype=torch.bool, device=gram.device)
    gram = gram.masked_fill(diagonal, 0)
    rows = gram.sum(-1, keepdim=True) / (n - 2)
    total = gram.sum((-2, -1), keepdim=True) / ((n - 1) * (n - 2))
    return (gram - rows - rows.mT + total).masked_fill(diagonal, 0)


def centered(gram: Tensor) -> Tensor:
    """Doubly centered Gram matrices (..., N, N)."""
    rows = gram.mean(-1, keepdim=True)
    return gram - rows - rows.mT + rows.mean(-2, keepdim=True)


class MinibatchCKA:
    """CKA of all pairs of layers, from the mean of HSIC over batches.

    Nguyen et al. 2021, eq. 3: https://arxiv.org/abs/2010.15327. Memory does not grow with the
    data: one Gram matrix of a batch for each layer, and one number for each pair.

    Args:
        unbiased: Use HSIC_1, whose mean over batches is that of all data. The biased estimator
            depends on the batch size.
    """

    def __init__(self, unbiased: bool = True) -> None:
        self.unbiased = unbiased
        self._sum: Tensor | None = None

    def add(self, grams: Tensor) -> None:
        """Add a batch.

        Args:
            grams: A Gram matrix for each layer. Shape (L, N, N), N >= 4.
        """
        n = grams.shape[-1]
        rows = (u_centered if self.unbiased else centered)(grams.double()).flatten(1)
        norm = n * (n - 3) if self.unbiased else (n - 1) ** 2
        # Each batch counts by its rows.
        hsic = (rows @ rows.mT * (n / norm)).cpu()
        self._sum = hsic if self._sum is None else self._sum + hsic

    def matrix(self) -> Tensor:
        """CKA of each pair, shape (L, L); NaN where a layer is constant."""
        if self._sum is None:
            return torch.full((0, 0), torch.nan)
        scale = self._sum.diagonal().clamp(min=0).sqrt()
        found = self._sum / (scale[:, None] * scale)
        return torch.where(found.isfinite(), found.clamp(-1, 1), torch.nan)


class Moments:
    """Sums of the logits x and y of two networks, and of their products.

    Args:
        classes: Number C of columns.
    """

    def __init__(self, classes: int) -> None:
        self.count = 0
        self._sum = torch.zeros(2 * classes, dtype=torch.double)
        self._products = torch.zeros(2 * classes, 2 * classes, dtype=torch.double)
        self._of_classes = torch.zeros(2, classes, classes, dtype=torch.double)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Add rows, shape (N, C) each."""
        both = torch.cat([x, y], 1).double().cpu()
        self.count += len(both)
        self._sum += both.sum(0)
        self._products += both.mT @ both
        for gram, rows in zip(self._of_classes, both.chunk(2, 1), strict=True):
            rows = rows - rows.mean(1, keepdim=True)
            gram += rows.mT @ rows

    def covariance(self) -> Tensor:
        """Covariance of the columns of x, then of y, shape (2 C, 2 C)."""
        mean = self._sum / max(self.count, 1)
        return self._products / max(self.count, 1) - mean[:, None] * mean

    def sample_cka(self) -> float:
        """Linear CKA of all samples."""
        classes = len(self._sum) // 2
        covariance = self.covariance()
        xx, yy = covariance[:classes, :classes], covariance[classes:, classes:]
        return _ratio(covariance[:classes, classes:].square().sum(), xx.norm() * yy.norm())

    def class_cka(self) -> float:
        """Linear CKA of the classes: rows are classes, columns are samples."""
        x, y = self._of_classes
        return _ratio((x * y).sum(), x.norm() * y.norm())

    def correlations(self) -> tuple[Tensor, Tensor]:
        """Correlation of the classes' logits over all samples, of x and of y, (C, C) each."""
        classes = len(self._sum) // 2
        covariance = self.covariance()
        scale = covariance.diagonal().clamp(min=0).sqrt()
        found = covariance / (scale[:, None] * scale)
        return found[:classes, :classes], found[classes:, classes:]


def _ratio(part: Tensor, whole: Tensor) -> float:
    return float(part / whole) if whole > 0 else float('nan')
