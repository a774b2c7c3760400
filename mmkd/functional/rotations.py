"""Several views of each image of a batch."""

import torch
from torch import Tensor


def rotations(images: Tensor) -> Tensor:
    """Each image turned counter-clockwise by 0, 90, 180 and 270 degrees.

    The views of "Dual-Level Knowledge Distillation via Knowledge Alignment and Correlation"
    (2022), sec. VI-A.

    Args:
        images: Square images. Shape (B, C, S, S), any dtype, on any device.

    Returns:
        Shape (4 B, C, S, S), view by view: the images themselves are the first B.

    Raises:
        ValueError: If the images are not square.

    Example:
        >>> rotations(torch.tensor([[[[1, 2], [3, 4]]]])).flatten(1)
        tensor([[1, 2, 3, 4],
                [2, 4, 1, 3],
                [4, 3, 2, 1],
                [3, 1, 4, 2]])
    """
    if images.ndim != 4 or images.shape[-2] != images.shape[-1]:
        raise ValueError(
            f'images: expected square images (B, C, S, S), got {tuple(images.shape)}; '
            'crop or resize them in the data pipeline'
        )
    return torch.cat([images.rot90(quarters, (-2, -1)) for quarters in range(4)])
