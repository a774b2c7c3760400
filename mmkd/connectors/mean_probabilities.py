"""Logits of an ensemble's averaged probabilities."""

import torch
from torch import Tensor, nn

from mmkd.functional.checks import check_positive
from mmkd.functional.numerics import upcast
from mmkd.registry import MODELS


@MODELS.register_module()
class MeanProbabilities(nn.Module):
    """Logits whose probabilities at a temperature are the mean of several networks'.

    Plain KD from an ensemble needs one target. FKD's Fig. 4 compares with it (He & Ozay, ICLR 2022:
    <https://openreview.net/forum?id=tBIQEvApZK5>). Give it to a loss on logits as the teacher's
    connector, with the loss's temperature.

    Args:
        tau: Temperature of the softmax.

    Raises:
        ValueError: If ``tau`` is not a finite number > 0.

    Example:
        >>> import torch
        >>> ensemble = (torch.tensor([[4.0, 0.0]]), torch.tensor([[0.0, 4.0]]))
        >>> (MeanProbabilities(tau=2.0)(ensemble) / 2.0).softmax(-1)
        tensor([[0.5000, 0.5000]])
    """

    def __init__(self, tau: float = 4.0) -> None:
        super().__init__()
        check_positive('tau', tau)
        self.tau = tau

    def forward(self, logits: tuple[Tensor, ...]) -> Tensor:
        """Average.

        Args:
            logits: Those of each network. Each has shape (..., C).

        Returns:
            Shape (..., C), in float32 (float64 for float64).

        Raises:
            TypeError: If ``logits`` is a single Tensor.
        """
        if isinstance(logits, Tensor):
            raise TypeError(
                'logits: expected those of each network of an ensemble, got a Tensor; record them '
                'with mmkd.EnsembleOutputs'
            )
        log = torch.stack([(upcast(x) / self.tau).log_softmax(-1) for x in logits])
        return self.tau * log.logsumexp(0)
