"""Supervised contrast between two networks."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmkd.functional.checks import check_positive, check_same_shape
from mmkd.functional.numerics import l2_normalize, mean_or_zero


def supervised_contrastive(
    student: Tensor, teacher: Tensor, labels: Tensor, tau: float = 0.07
) -> Tensor:
    r"""Supervised contrastive loss whose anchors meet the other network's embeddings.

    .. math::
        \frac{1}{2R} \sum_{(z, w) \in \{(s, t), (t, s)\}} \sum_i \frac{-1}{|P(i)|}
            \sum_{j \in P(i)} \log \frac{\exp(z_i \cdot w_j / \tau)}
                                        {\sum_k \exp(z_i \cdot w_k / \tau)},
        \qquad P(i) = \{j : y_j = y_i\}

    "Dual-Level Knowledge Distillation via Knowledge Alignment and Correlation" (2022), eq. 7. Its
    ``i != j`` and ``C = 2 N_y - 1`` count the embeddings of both networks together, while the text
    takes positives and negatives from the other network alone. This follows the text: no anchor
    is among its candidates, so nothing is left out, and each has all N_y of its class as positives.

    Args:
        student: Embeddings, brought to unit length here. Shape (R, D).
        teacher: Shape (R, D).
        labels: Class indices. Shape (R,).
        tau: Temperature.

    Returns:
        A scalar >= 0, in float32, or float64 for such inputs; 0 for one row or none, and
        otherwise above 0 even where the networks agree.

    Raises:
        ValueError: If the shapes do not fit, or ``tau`` is not positive.

    Example:
        >>> embeddings = torch.eye(2)
        >>> supervised_contrastive(embeddings, embeddings, torch.tensor([0, 1]), tau=1.0)
        tensor(0.3133)
    """
    check_same_shape(student, teacher)
    check_positive('tau', tau)
    if labels.shape != student.shape[:1]:
        raise ValueError(
            f'labels: expected a shape ({student.shape[0]},), got {tuple(labels.shape)}'
        )
    with torch.autocast(student.device.type, enabled=False):
        logits = l2_normalize(student) @ l2_normalize(teacher).mT / tau
        positive = (labels[:, None] == labels).to(logits)
        positive = positive / positive.sum(-1, keepdim=True)
        of_student = F.cross_entropy(logits, positive, reduction='none')
        of_teacher = F.cross_entropy(logits.mT, positive, reduction='none')
        return (mean_or_zero(of_student) + mean_or_zero(of_teacher)) / 2
