"""Methods for detectors that compare the levels of two pyramids."""

from collections.abc import Mapping
from typing import NamedTuple

from mmkd.pairing.inspection.pyramid import Level, Match, Pyramid, listed, match, pyramid_of
from mmkd.pairing.methods.method import Config, Decisions, Fitted, Pair, both, connectors

PROJECTION: Config = dict(type='mmkd.LevelwiseConv')


class Term(NamedTuple):
    """A loss between pyramids.

    Attributes:
        loss: Its type and arguments.
        has_levels: Whether it takes the argument ``levels``.
        always_projects: Whether the student passes a projection even if the widths are equal.
    """

    loss: Config
    has_levels: bool = True
    always_projects: bool = False


class _Side(NamedTuple):
    """The compared levels of one of the pyramids."""

    pyramid: Pyramid
    indices: tuple[int, ...]
    factor: int

    @property
    def levels(self) -> list[Level]:
        return [self.pyramid.levels[index] for index in self.indices]

    def selection(self, *, all_levels: bool) -> list[Config]:
        """Connector that picks the compared levels; none if they are all levels, or the first."""
        first = range(len(self.pyramid.levels) if all_levels else len(self.indices))
        if self.factor == 1 and self.indices == tuple(first):
            return []
        downsample = dict(downsample=self.factor) if self.factor > 1 else {}
        return [dict(type='mmkd.SelectLevels', levels=self.indices, **downsample)]

    def pooling(self) -> list[Config]:
        """Connector that pools a single level to the compared stride."""
        if self.factor == 1:
            return []
        window = dict(kernel_size=self.factor, ceil_mode=True, count_include_pad=False)
        return [dict(type='TorchNNConnector', module_name='AvgPool2d', module_args=window)]


def compare_pyramids(
    pair: Pair, terms: Mapping[str, Term], *, one_loss_a_level: bool = False
) -> Fitted:
    """Compare the levels of equal stride.

    The student's levels are projected to the teacher's width where the widths differ, or where the
    term asks for it. A teacher whose levels differ in width needs a loss for each level.

    Args:
        pair: The outputs of both models.
        terms: The losses by name.
        one_loss_a_level: Give each level a loss of its own, for losses that take one tensor.

    Raises:
        ValueError: If a model returns no pyramid, or the strides do not fit.
    """
    student, teacher, found = _sides(pair)
    widths = {level.channels for level in teacher.levels}
    fit = _separate_levels if one_loss_a_level or len(widths) > 1 else _joint_levels
    losses: Config = {}
    for name, term in terms.items():
        losses |= fit(name, term, student, teacher, found)
    return Fitted(dict(losses=losses), _decisions(student, teacher, found))


def _sides(pair: Pair) -> tuple[_Side, _Side, Match]:
    student = pyramid_of(pair.student, 'student')
    teacher = pyramid_of(pair.teacher, 'teacher')
    found = match(student.strides, teacher.strides)
    return (
        _Side(student, found.student, found.student_downsample),
        _Side(teacher, found.teacher, found.teacher_downsample),
        found,
    )


def _joint_levels(name: str, term: Term, student: _Side, teacher: _Side, found: Match) -> Config:
    """One loss for all levels."""
    kind, arguments = _parts(term.loss)
    if term.has_levels:
        arguments = dict(levels=tuple(range(len(found.strides)))) | arguments
    widths = [{level.channels for level in side.levels} for side in (student, teacher)]
    project = [PROJECTION] if term.always_projects or widths[0] != widths[1] else []
    all_levels = not term.has_levels
    chain = student.selection(all_levels=all_levels) + project
    chains = connectors(chain, teacher.selection(all_levels=all_levels))
    on = both(student.pyramid.source, teacher.pyramid.source)
    return {name: dict(type=kind, on=on, **arguments, **chains)}


def _separate_levels(name: str, term: Term, student: _Side, teacher: _Side, found: Match) -> Config:
    """A loss for each level."""
    kind, arguments = _parts(term.loss)
    losses: Config = {}
    for position, stride in enumerate(found.strides):
        widths = [side.levels[position].channels for side in (student, teacher)]
        project = [PROJECTION] if term.always_projects or widths[0] != widths[1] else []
        places = [
            dict(source=side.pyramid.source, data_idx=side.indices[position])
            for side in (student, teacher)
        ]
        chains = connectors(student.pooling() + project, teacher.pooling())
        losses[f'{name}_stride{stride}'] = dict(type=kind, on=both(*places), **arguments, **chains)
    return losses


def _parts(loss: Config) -> tuple[str, Config]:
    return loss['type'], {key: value for key, value in loss.items() if key != 'type'}


def _decisions(student: _Side, teacher: _Side, found: Match) -> Decisions:
    strides, students, teachers = map(listed, (found.strides, found.student, found.teacher))
    lines = [
        ('student', str(student.pyramid)),
        ('teacher', str(teacher.pyramid)),
        (
            'levels',
            f"compared at strides {strides}: the student's levels {students}, the teacher's "
            f'levels {teachers}',
        ),
    ]
    for who, side in (('student', student), ('teacher', teacher)):
        if side.factor > 1:
            text = f"no stride is common: the {who}'s levels are pooled by {side.factor}"
            lines.append(('levels', text))
    widths = [{level.channels for level in side.levels} for side in (student, teacher)]
    if widths[0] != widths[1]:
        text = 'the widths differ: a convolution per level projects the student to the teacher'
        lines.append(('widths', text))
    return lines


PCKA = Term(dict(type='mmkd.PCKALoss', patch_size=16, center=False, loss_weight=10.0))
MIMIC = Term(dict(type='mmkd.MimicLoss', loss_weight=1.0), always_projects=True)
# MMRazor's configs have these weights of PKD and CWD.
CWD = Term(dict(type='ChannelWiseDivergence', tau=1.0, loss_weight=10.0), has_levels=False)


def pcka(pair: Pair) -> Fitted:
    """PCKA of the levels."""
    return compare_pyramids(pair, dict(pcka=PCKA))


def pcka_mimic(pair: Pair) -> Fitted:
    """PCKA, and the squared error of the projected levels."""
    return compare_pyramids(pair, dict(pcka=PCKA, mimic=MIMIC))


def mimic(pair: Pair) -> Fitted:
    """The squared error of the projected levels."""
    return compare_pyramids(pair, dict(mimic=MIMIC))


def cwd(pair: Pair) -> Fitted:
    """MMRazor's channel-wise divergence of each level."""
    return compare_pyramids(pair, dict(cwd=CWD), one_loss_a_level=True)


def pkd(pair: Pair) -> Fitted:
    """MMRazor's PKD. Two one-stage detectors use another weight than pairs with a two-stage one."""
    one_stage = not any('roi_head' in name for calls in pair.sides.values() for name in calls)
    loss = dict(type='PKDLoss', loss_weight=10.0 if one_stage else 6.0)
    return compare_pyramids(pair, dict(pkd=Term(loss, has_levels=False)))
