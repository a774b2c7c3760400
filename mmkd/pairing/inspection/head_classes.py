"""What a model's head predicts: how many classes, and boxes as numbers or distributions."""

from typing import NamedTuple

from torch import nn


class Classes(NamedTuple):
    """The classes of a detector's head.

    Attributes:
        number: Of objects.
        background: Whether a dense head has one more logit, for the background.
    """

    number: int
    background: bool


def classes_of(detector: nn.Module) -> Classes | None:
    """Return the classes of a detector's box head (a cascade's last), or None without one."""
    roi_head = getattr(detector, 'roi_head', None)
    head = getattr(detector if roi_head is None else roi_head, 'bbox_head', None)
    if isinstance(head, nn.ModuleList):
        head = head[-1]
    number = getattr(head, 'num_classes', None)
    if number is None:
        return None
    return Classes(number, getattr(head, 'cls_out_channels', number) > number)


def edge_bins_of(detector: nn.Module) -> int | None:
    """Return how many distances a head of the GFL family knows for each edge; None for others."""
    head = getattr(detector, 'bbox_head', None)
    return getattr(head, 'reg_max', 0) + 1 if hasattr(head, 'integral') else None


def check_same_number(student: int, teacher: int, *, instead: str) -> None:
    """Raise ValueError if the numbers of classes differ, as their logits cannot be compared.

    Args:
        student: The student's number of classes.
        teacher: The teacher's.
        instead: Methods to use instead.
    """
    if student != teacher:
        raise ValueError(
            f"teacher: expected logits of the student's {student} classes, which the method "
            f'compares, got {teacher}; train the teacher on these classes, or use {instead}'
        )
