"""The feature pyramids of two detectors, and the levels that both have."""

from collections.abc import Sequence
from typing import NamedTuple

from mmkd.pairing.inspection.trace import Calls

# The methods were published with the four finest levels.
MAX_LEVELS = 4


class Level(NamedTuple):
    """One level of a pyramid.

    Attributes:
        channels: Channels of the map.
        stride: Pixels of the input per cell.
    """

    channels: int
    stride: int


class Pyramid(NamedTuple):
    """The feature maps that a detector extracts.

    Attributes:
        source: Name of the module that returns them.
        levels: The levels, in the order of that module.
    """

    source: str
    levels: tuple[Level, ...]

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides of all levels."""
        return tuple(level.stride for level in self.levels)

    def __str__(self) -> str:
        parts = [f'{level.channels} channels at stride {level.stride}' for level in self.levels]
        if len({level.channels for level in self.levels}) == 1:
            parts = [f'{self.levels[0].channels} channels at strides {listed(self.strides)}']
        return f'{self.source}: {", ".join(parts)}'


class Match(NamedTuple):
    """The levels of two pyramids that are compared, pair by pair.

    Attributes:
        student: Indices of the student's levels.
        teacher: Indices of the teacher's levels.
        student_downsample: Factor by which the student's levels are pooled first.
        teacher_downsample: Factor by which the teacher's levels are pooled first.
        strides: Strides of the compared levels.
    """

    student: tuple[int, ...]
    teacher: tuple[int, ...]
    student_downsample: int
    teacher_downsample: int
    strides: tuple[int, ...]


def pyramid_of(calls: Calls, who: str) -> Pyramid:
    """Return the pyramid of a detector: the output of its neck or, without one, its backbone.

    Args:
        calls: What :func:`mmkd.pairing.inspection.trace` noted.
        who: ``'student'`` or ``'teacher'``, for errors.

    Raises:
        ValueError: If the module does not return maps.
    """
    source = 'neck' if 'neck' in calls else 'backbone'
    outputs = calls.get(source, [()])[0]
    if not outputs or any(output.stride is None for output in outputs):
        found = ', '.join(map(str, outputs)) or 'nothing'
        raise ValueError(f'{who}: expected feature maps of its {source}, got {found}')
    levels = [Level(output.shape[1], max(output.stride)) for output in outputs if output.stride]
    return Pyramid(source, tuple(levels))


def match(student: Sequence[int], teacher: Sequence[int]) -> Match:
    """Find the levels of equal strides. If there are none, find those that pooling makes equal.

    Args:
        student: Strides of the student's levels.
        teacher: Strides of the teacher's levels.

    Returns:
        At most the four finest pairs. Without equal strides the finer pyramid is pooled: by the
        factor that gives the most pairs, and by the smallest such factor.

    Raises:
        ValueError: If no factor gives a pair.

    Example:
        >>> match((8, 16, 32, 64, 128), (4, 8, 16, 32, 64))[:2]
        ((0, 1, 2, 3), (1, 2, 3, 4))
        >>> match((32, 64), (4, 8, 16))
        Match(student=(0, 1), teacher=(1, 2), student_downsample=1, teacher_downsample=4, strides=(32, 64))
    """  # noqa: E501
    factors = [(1, 1), *_factors(student, teacher)]
    matches = [_equal(student, teacher, s, t) for s, t in factors]
    if not any(found.strides for found in matches):
        raise ValueError(
            f"teacher: expected levels whose strides are the student's {listed(student)} or divide "
            f'or multiply them, got {listed(teacher)}'
        )
    if matches[0].strides:
        return matches[0]
    return max(matches, key=lambda found: len(found.strides))  # the first of several


def _factors(student: Sequence[int], teacher: Sequence[int]) -> list[tuple[int, int]]:
    """Whole factors for student and teacher, one of them 1; small ones first."""
    pairs = [(s, t) for s in student for t in teacher]
    by_teacher = {(1, s // t) for s, t in pairs if s % t == 0}
    by_student = {(t // s, 1) for s, t in pairs if t % s == 0}
    return sorted(by_teacher | by_student, key=max)


def _equal(
    student: Sequence[int], teacher: Sequence[int], student_factor: int, teacher_factor: int
) -> Match:
    students = [stride * student_factor for stride in student]
    teachers = [stride * teacher_factor for stride in teacher]
    common = sorted(set(students) & set(teachers))[:MAX_LEVELS]
    return Match(
        tuple(students.index(stride) for stride in common),
        tuple(teachers.index(stride) for stride in common),
        student_factor,
        teacher_factor,
        tuple(common),
    )


def listed(strides: Sequence[int]) -> str:
    """Return numbers as text, with spaces between."""
    return ' '.join(map(str, strides))
