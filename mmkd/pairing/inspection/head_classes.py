"""What a model's head predicts: how many classes, and boxes as numbers or distributions."""

from typing import NamedTuple

from torch import nn


class Classes(NamedTuple):
    """The classes of a detector's head, and how it gives boxes.

    Attributes:
        number: Of objects.
        background: Whether a dense head has one more logit, for the background.
        edge_bins: Distances to which a head of the GFL family gives probabilities, for each edge of
            a box. None for heads that predict numbers.
        kind: Name of the head's class.
    """

    number: int
    background: bool
    edge_bins: int | None = None
    kind: str = ''


def classes_of(detector: nn.Module) -> Classes | None:
    """Return the classes of a detector's box head (a cascade's last), or None without one."""
    roi_head = getattr(detector, 'roi_head', None)
    head = getattr(detector if roi_head is None else roi_head, 'bbox_head', None)
    if isinstance(head, nn.ModuleList):
        head = head[-1]
    number = getattr(head, 'num_classes', None)
    if number is None:
        return None
    return Classes(
        number,
        background=getattr(head, 'cls_out_channels', number) > number,
        edge_bins=getattr(head, 'reg_max', 0) + 1 if hasattr(head, 'integral') else None,
        kind=type(head).__name__,
    )


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
