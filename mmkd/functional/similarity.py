"""Similarity matrices of a batch, and the distance between those of two networks (SP)."""

import torch
from torch import Tensor

from mmkd.functional.checks import check_same_rows
from mmkd.functional.numerics import l2_normalize, mean_or_zero, smallest_length, upcast
from mmkd.functional.saturation import saturating


@saturating
def similarity_distance(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean squared difference of two networks' similarity matrices, whose rows have unit length.

    $$
    \frac{1}{B^2} \| G^S - G^T \|_F^2, \qquad
    G_{ij} = \frac{\langle f_i, f_j \rangle}{\| (\langle f_i, f_k \rangle)_k \|}
    $$

    Tung and Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019, eq. 1-4:
    <https://arxiv.org/abs/1907.09682>.

    Args:
        student: Features or flattened feature maps. Shape (B, D).
        teacher: The same. Shape (B, D_T), with any D_T.

    Returns:
        A scalar >= 0, in float32 (float64 if an argument is). It is 0 for one sample or none.

    Raises:
        ValueError: If a shape is wrong.

    Example:
        >>> student = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> similarity_distance(student, torch.tensor([[3.0], [4.0]]))
        tensor(0.3000)
    """
    check_same_rows(student, teacher)
    with torch.autocast(student.device.type, enabled=False):
        return mean_or_zero((_similarity(student) - _similarity(teacher)).square())


def _similarity(features: Tensor) -> Tensor:
    features = upcast(features)
    # Scaling by the largest entry changes no unit row, and keeps the products in range.
    if features.numel():
        largest = features.detach().abs().amax()
        features = features / largest.masked_fill(largest < smallest_length(features.dtype), 1.0)
    return l2_normalize(features @ features.mT)
