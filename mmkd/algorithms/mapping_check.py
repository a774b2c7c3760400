"""A loss reads each argument from the network that the argument's name says."""

from collections.abc import Mapping
from typing import Any

# Names of MMRazor's and mmkd's losses: preds_S, s_feature, feat_s, student, student_logits.
MARKS = {True: ('_S', '_s', 's_', 'student'), False: ('_T', '_t', 't_', 'teacher')}


def check_sides(mappings: Mapping[str, Mapping[str, Any]]) -> None:
    """Check which network each argument of each loss comes from.

    Args:
        mappings: ``loss_forward_mappings`` of a distiller.

    Raises:
        ValueError: Names the argument that would read the other network's record.
    """
    for loss, mapping in mappings.items():
        for argument, place in mapping.items():
            for is_student, (*ends, start, word) in MARKS.items():
                marked = argument.endswith(tuple(ends)) or argument.startswith((start, word))
                if marked and bool(place.get('from_student')) is not is_student:
                    raise ValueError(
                        f'distiller.loss_forward_mappings.{loss}.{argument}: expected '
                        f'from_student={is_student}, because it is the '
                        f"{'student' if is_student else 'teacher'}'s side of the loss, got "
                        f'from_student={place.get("from_student")}'
                    )
