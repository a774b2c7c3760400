"""The mean of values that may be none."""

from torch import Tensor


def mean_or_zero(values: Tensor) -> Tensor:
    """Mean of all values; of none 0, still in the graph.

    Args:
        values: Floating-point values of any shape.

    Returns:
        A scalar.

    Example:
        >>> import torch
        >>> mean_or_zero(torch.tensor([1.0, 5.0])), mean_or_zero(torch.zeros(0, 3))
        (tensor(3.), tensor(0.))
    """
    return values.sum() / max(values.numel(), 1)
