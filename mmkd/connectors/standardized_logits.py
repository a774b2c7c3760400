"""Standardized logits."""

from torch import Tensor, nn

from mmkd.functional.ranking.rank_correlation import zscore
from mmkd.registry import MODELS


@MODELS.register_module()
class StandardizedLogits(nn.Module):
    """Z-score of each row of logits: mean 0 and standard deviation 1 over the classes.

    Put it on both sides of KD, DKD or another loss on logits. The student then follows the
    teacher's relations between classes, and is free in the size of its logits. See
    :func:`mmkd.functional.zscore`.

    Sun et al., "Logit Standardization in Knowledge Distillation", CVPR 2024:
    https://arxiv.org/abs/2403.01528.

    Example:
        >>> import torch
        >>> StandardizedLogits()(torch.tensor([[1.0, 2.0, 3.0]]))
        tensor([[-1.0000,  0.0000,  1.0000]])
    """

    def forward(self, logits: Tensor) -> Tensor:
        """Standardize each row.

        Args:
            logits: Shape (..., K) for K classes.

        Returns:
            The same shape, in float32 (float64 for float64). A constant row becomes 0.

        Raises:
            TypeError: If ``logits`` is not a Tensor; a recorded module may return a tuple.
        """
        if not isinstance(logits, Tensor):
            raise TypeError(
                f'logits: expected a Tensor (..., K), got {type(logits).__name__}; choose an item '
                'of a recorded tuple by data_idx'
            )
        return zscore(logits)
