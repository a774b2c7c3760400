"""A method: a function from what two models return to the losses of a distiller."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mmengine.hub import get_config

from mmkd.pairing.inspection.head_classes import Classes
from mmkd.pairing.inspection.trace import Calls

Config = dict[str, Any]
Decisions = list[tuple[str, str]]


class Pair(NamedTuple):
    """What the modules of both models return.

    Attributes:
        student: Outputs of the student's modules.
        teacher: Outputs of the teacher's modules.
        classes: Classes of the student's and of the teacher's box head; None without one.
        labels: The teacher's label of each of the student's classes; None if they are not known by
            name, or the teacher has none for a class.
    """

    student: Calls
    teacher: Calls
    classes: tuple[Classes | None, Classes | None] = (None, None)
    labels: tuple[int, ...] | None = None

    @property
    def sides(self) -> dict[str, Calls]:
        """The outputs of each model's modules, by ``'student'`` and ``'teacher'``."""
        return dict(student=self.student, teacher=self.teacher)


class Fitted(NamedTuple):
    """A method that fits a pair of models.

    Attributes:
        distiller: Its config, in the short spelling.
        decisions: Topic and text of each decision.
        model: Settings of the algorithm beside teacher, student and distiller.
    """

    distiller: Config
    decisions: Decisions
    model: Mapping[str, Any] = {}


Method = Callable[[Pair], Fitted]


def published(name: str) -> Config:
    """Return a copy of the distiller ``mmkd::_base_/distillers/NAME.py``."""
    return get_config(f'mmkd::_base_/distillers/{name}.py').distiller.to_dict()


def both(student: Any, teacher: Any) -> Any:
    """Return where a loss looks: one place for both models if it is the same.

    Example:
        >>> both('neck', 'neck'), both('backbone', 'neck')
        ('neck', {'student': 'backbone', 'teacher': 'neck'})
    """
    return student if student == teacher else dict(student=student, teacher=teacher)


def is_two_stage(pair: Pair) -> bool:
    """Return whether one of the models classifies proposals."""
    return any('roi_head' in name for calls in pair.sides.values() for name in calls)
