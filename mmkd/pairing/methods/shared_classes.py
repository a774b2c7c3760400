"""Which classes the heads of a pair share."""

from mmkd.pairing.inspection.head_classes import Classes, check_same_number
from mmkd.pairing.methods.dense_layers import FEATURE_METHODS
from mmkd.pairing.methods.method import Config, Pair


def classes_of_both(pair: Pair) -> dict[str, Classes]:
    """Return the classes of each box head.

    Raises:
        ValueError: If a model has none.
    """
    found = {}
    for who, classes in zip(pair.sides, pair.classes, strict=True):
        if classes is None:
            raise ValueError(
                f'{who}: expected a bbox_head with classes, got none; use {FEATURE_METHODS}'
            )
        found[who] = classes
    return found


def picks_of_teacher(pair: Pair, classes: dict[str, Classes]) -> list[Config]:
    """Return the connector that picks the student's classes from the teacher's logits, if needed.

    Raises:
        ValueError: If the teacher has other classes, and their names are not known or do not cover
            the student's.
    """
    student, teacher = (of.number for of in classes.values())
    if pair.labels is None:
        check_same_number(student, teacher, instead=FEATURE_METHODS)
    if pair.labels in (None, tuple(range(teacher))):
        return []
    return [dict(type='mmkd.SelectClasses', labels=pair.labels, num_classes=teacher)]
