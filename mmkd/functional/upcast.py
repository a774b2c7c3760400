"""Half precision is computed in float32."""

import torch
from torch import Tensor


def upcast(x: Tensor) -> Tensor:
    """``x`` in float32, or unchanged in float64."""
    return x if x.dtype == torch.float64 else x.float()
