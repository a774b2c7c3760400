"""The classes that a model's head tells apart."""

from typing import NamedTuple

from torch import nn


class Classes(NamedTuple):
    """Classes of a detector's head.

    Attributes:
        number: Of objects.
        background: Whether each anchor of a dense head has a logit for background beside them.
    """

    number: int
    background: bool


def classes_of(detector: nn.Module) -> Classes | None:
    """What the box head of a detector tells apart, of a cascade the last; None without one."""
    roi_head = getattr(detector, 'roi_head', None)
    head = getattr(detector if roi_head is None else roi_head, 'bbox_head', None)
    if isinstance(head, nn.ModuleList):
        head = head[-1]
    number = getattr(head, 'num_classes', None)
    if number is None:
        return None
    return Classes(number, getattr(head, 'cls_out_channels', number) > number)


def check_same_number(student: int, teacher: int, *, instead: str) -> None:
    """Raise ValueError if logits cannot be compared, as the numbers of classes differ.

    Args:
        student: The student's number of classes.
        teacher: The teacher's.
        instead: Methods that can be taken.
    """
    if student != teacher:
        raise ValueError(
            f"teacher: expected logits of the student's {student} classes, which the method "
            f'compares, got {teacher}; train the teacher on these classes, or take {instead}'
        )
