"""Torchvision's kernels, and the dtype in which they compute."""

from functools import reduce
from typing import Any

import torch
from torch import Tensor


def torchvision_kernels() -> Any:
    """Return ``torch.ops.torchvision``, importing torchvision on first use."""
    import torchvision  # noqa: F401  (registers the kernels)

    return torch.ops.torchvision


def widen(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Cast tensors to their widest dtype, at least float32.

    Several CPU kernels have no half precision. Torchvision's autocast rules also compute these
    operators in float32.
    """
    dtype = reduce(torch.promote_types, (t.dtype for t in tensors), torch.float32)
    return tuple(t.to(dtype) for t in tensors)
