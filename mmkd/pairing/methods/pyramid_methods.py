"""Methods for detectors that compare the levels of two pyramids."""

from typing import Any, NamedTuple

from mmkd.pairing.inspection.pyramid import Level, Match, Pyramid, listed, match, pyramid_of
from mmkd.pairing.methods.method import (
    Config,
    Decisions,
    Fitted,
    Method,
    Pair,
    both,
    is_two_stage,
    published,
)

PROJECTION: Config = dict(type='mmkd.LevelwiseConv')


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
    pair: Pair, losses: dict[str, Config], *, one_loss_a_level: bool = False
) -> Fitted:
    """Let losses compare the levels of equal stride.

    The student's levels are projected to the teacher's width where the widths differ, unless the
    loss brings a connector. A teacher whose levels differ in width needs a loss for each level.

    Args:
        pair: The outputs of both models.
        losses: Short configs of the losses by name. Those that take ``levels`` have them.
        one_loss_a_level: Give each level a loss of its own, for losses that take one tensor.

    Raises:
        ValueError: If a model returns no pyramid, or the strides do not fit.
    """
    student, teacher, found = _sides(pair)
    widths = {level.channels for level in teacher.levels}
    fit = _separate_levels if one_loss_a_level or len(widths) > 1 else _joint_levels
    fitted: Config = {}
    for name, loss in losses.items():
        fitted |= fit(name, loss, student, teacher)
    return Fitted(dict(losses=fitted), _decisions(student, teacher, found))


def _sides(pair: Pair) -> tuple[_Side, _Side, Match]:
    student = pyramid_of(pair.student, 'student')
    teacher = pyramid_of(pair.teacher, 'teacher')
    found = match(student.strides, teacher.strides)
    return (
        _Side(student, found.student, found.student_downsample),
        _Side(teacher, found.teacher, found.teacher_downsample),
        found,
    )


def _joint_levels(name: str, loss: Config, student: _Side, teacher: _Side) -> Config:
    """One loss for all levels."""
    picks = 'levels' in loss
    chains = [side.selection(all_levels=not picks) for side in (student, teacher)]
    chains[0] += _projection(loss, student.levels, teacher.levels)
    places = (student.pyramid.source, teacher.pyramid.source)
    levels = dict(levels=tuple(range(len(student.indices)))) if picks else {}
    return {name: _placed(loss, places, chains) | levels}


def _separate_levels(name: str, loss: Config, student: _Side, teacher: _Side) -> Config:
    """A loss for each level."""
    losses: Config = {}
    for position, level in enumerate(student.levels):
        sides = (student, teacher)
        places = [dict(source=s.pyramid.source, data_idx=s.indices[position]) for s in sides]
        chains = [side.pooling() for side in sides]
        chains[0] += _projection(loss, [level], [teacher.levels[position]])
        placed = _placed(loss, places, chains)
        placed.pop('levels', None)
        losses[f'{name}_stride{level.stride * student.factor}'] = placed
    return losses


def _projection(loss: Config, students: list[Level], teachers: list[Level]) -> list[Config]:
    if 'student_connector' in loss:
        return [loss['student_connector']]
    widths = [{level.channels for level in levels} for levels in (students, teachers)]
    return [PROJECTION] if widths[0] != widths[1] else []


def _placed(loss: Config, places: Any, chains: list[list[Config]]) -> Config:
    """A loss that looks at these places, through these chains of connectors."""
    arguments = {k: v for k, v in loss.items() if k not in ('type', 'on', 'student_connector')}
    keys = ('student_connector', 'teacher_connector')
    connectors = {
        key: chain[0] if len(chain) == 1 else chain
        for key, chain in zip(keys, chains, strict=True)
        if chain
    }
    return dict(type=loss['type'], on=both(*places), **arguments, **connectors)


def _decisions(student: _Side, teacher: _Side, found: Match) -> Decisions:
    strides, students, teachers = map(listed, (found.strides, found.student, found.teacher))
    text = f"compared at strides {strides}: the student's levels {students}, the teacher's levels "
    lines = [
        ('student', str(student.pyramid)),
        ('teacher', str(teacher.pyramid)),
        ('levels', text + teachers),
    ]
    for who, side in (('student', student), ('teacher', teacher)):
        if side.factor > 1:
            text = f"no stride is common: the {who}'s levels are pooled by {side.factor}"
            lines.append(('levels', text))
    if {level.channels for level in student.levels} != {level.channels for level in teacher.levels}:
        text = 'the widths differ: a convolution per level projects the student to the teacher'
        lines.append(('widths', text))
    return lines


def _of_paper(pair: Pair, *names: str) -> Fitted:
    losses = published('pcka_mimic_pyramid')['losses']
    return compare_pyramids(pair, {name: losses[name] for name in names})


def _cwd(pair: Pair) -> Fitted:
    loss = dict(type='ChannelWiseDivergence', tau=1.0, loss_weight=10.0)  # as MMRazor's configs
    return compare_pyramids(pair, dict(cwd=loss), one_loss_a_level=True)


def _mgd(pair: Pair) -> Fitted:
    """MGD, as MMRazor configures it: the connector masks the student and fits its width."""
    connector = dict(type='MGDConnector', lambda_mgd=0.65)
    loss = dict(type='MGDLoss', student_connector=connector, alpha_mgd=2e-5)
    return compare_pyramids(pair, dict(mgd=loss), one_loss_a_level=True)


def pkd(pair: Pair) -> Fitted:
    """PKD; MMRazor's configs weigh it more between two one-stage detectors."""
    loss = dict(type='PKDLoss', loss_weight=6.0 if is_two_stage(pair) else 10.0)
    return compare_pyramids(pair, dict(pkd=loss))


PYRAMID_METHODS: dict[str, Method] = {
    'pcka': lambda pair: _of_paper(pair, 'pcka'),
    'pcka-mimic': lambda pair: _of_paper(pair, 'pcka', 'mimic'),
    'mimic': lambda pair: _of_paper(pair, 'mimic'),
    'pkd': pkd,
    'cwd': _cwd,
    'mgd': _mgd,
}
