"""What a method is to the tool that pairs two models: a distiller, and how it is fitted."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mmengine.hub import get_config

from mmkd.pairing.inspection.head_classes import Classes
from mmkd.pairing.inspection.trace import Calls

DISTILLERS = 'mmkd::_base_/distillers/'
# Widths of connectors by their names: of which network's features they are, the result's if it
# depends on the pair.
WIDTHS: dict[str, tuple[str, str | None]] = {
    'embed_student': ('student', None),
    'embed_teacher': ('teacher', None),
    'align': ('student', 'teacher'),
    'correlate': ('student', 'student'),
    'sup_student': ('student', None),
    'sup_teacher': ('teacher', None),
}


class Pair(NamedTuple):
    """What the modules of both models return.

    Attributes:
        student: Of the student.
        teacher: Of the teacher.
        classes: Of the student's and the teacher's box head, None where there is none.
    """

    student: Calls
    teacher: Calls
    classes: tuple[Classes | None, Classes | None] = (None, None)

    @property
    def sides(self) -> dict[str, Calls]:
        """What each model's modules return, by ``'student'`` and ``'teacher'``."""
        return dict(student=self.student, teacher=self.teacher)


class Fitted(NamedTuple):
    """A distiller that fits a pair.

    Attributes:
        distiller: Its config.
        decisions: Topic and text of what was decided.
        whole: It has little in common with the distiller that it was made of.
    """

    distiller: dict[str, Any]
    decisions: list[tuple[str, str]]
    whole: bool = False


class Method(NamedTuple):
    """A method for one kind of models.

    Attributes:
        distiller: Name of a file of ``mmkd::_base_/distillers``, or a config.
        fit: Makes a distiller fit a pair; it may change the one that it gets.
        model: Settings of the algorithm beside teacher, student and distiller.
    """

    distiller: str | Mapping[str, Any]
    fit: Callable[[dict[str, Any], Pair], Fitted]
    model: Mapping[str, Any] = {}

    @property
    def base(self) -> str | None:
        """The config that its distiller can be inherited from, if there is one."""
        return f'{DISTILLERS}{self.distiller}.py' if isinstance(self.distiller, str) else None

    def load(self) -> dict[str, Any]:
        """A copy of its distiller."""
        if isinstance(self.distiller, str):
            return get_config(f'{DISTILLERS}{self.distiller}.py').distiller.to_dict()
        return copy.deepcopy(dict(self.distiller))


def set_widths(distiller: Mapping[str, Any], *, student: int, teacher: int) -> None:
    """Set the widths of the connectors of :data:`WIDTHS`, the last parts of chains."""
    widths = dict(student=student, teacher=teacher)
    for name, connector in distiller.get('connectors', {}).items():
        if name in WIDTHS:
            last = connector[-1] if isinstance(connector, list) else connector
            in_side, out_side = WIDTHS[name]
            last['in_channels'] = widths[in_side]
            if out_side is not None:
                last['out_channels'] = widths[out_side]
