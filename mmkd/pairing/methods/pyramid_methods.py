"""Methods that compare the levels of two pyramids, fitted to a pair of detectors."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mmkd.pairing.inspection.pyramid import Level, Match, Pyramid, listed, match, pyramid_of
from mmkd.pairing.methods.method import Fitted, Method, Pair

Config = dict[str, Any]
RECORDER = 'fpn'


class _Side(NamedTuple):
    """The compared levels of one of the pyramids."""

    pyramid: Pyramid
    indices: tuple[int, ...]
    factor: int

    @property
    def levels(self) -> list[Level]:
        return [self.pyramid.levels[index] for index in self.indices]

    def selection(self, *, all_of_them: bool) -> list[Config]:
        """Connector that leaves the compared levels, or starts with them; none if they do."""
        first = range(len(self.pyramid.levels) if all_of_them else len(self.indices))
        if self.factor == 1 and self.indices == tuple(first):
            return []
        return [_select(self.indices, self.factor)]


def fit_pyramid(distiller: Config, pair: Pair) -> Fitted:
    """Let each loss compare the common levels, one loss for all of them.

    A student's levels that already go through a connector are projected to the teacher's width,
    others only if their width differs. Teachers whose levels differ in width need a loss a level.
    """
    student, teacher, found = _sides(pair)
    if len({level.channels for level in teacher.levels}) > 1:
        return fit_levels(distiller, pair)
    connectors: Config = {}
    for name, mapping in distiller['loss_forward_mappings'].items():
        loss = distiller['distill_losses'][name]
        picks = 'levels' in loss
        if picks:
            loss['levels'] = tuple(range(len(found.strides)))
        records = _records(mapping)
        project = _projection(student.levels, teacher.levels, 'connector' in records['student'])
        chain = student.selection(all_of_them=not picks and not project) + project
        own = records['student'].get('connector', name.removeprefix('loss_'))
        _connect(records['student'], chain, own if project else 'student_levels', connectors)
        chain = teacher.selection(all_of_them=not picks)
        _connect(records['teacher'], chain, 'teacher_levels', connectors)
    return _fitted(distiller, connectors, student, teacher, found)


def fit_levels(distiller: Config, pair: Pair) -> Fitted:
    """Compare the common levels by a loss for each of them."""
    student, teacher, found = _sides(pair)
    connectors: Config = {}
    losses: Config = {}
    mappings: Config = {}
    for name, mapping in distiller['loss_forward_mappings'].items():
        always = 'connector' in _records(mapping)['student']
        for position, stride in enumerate(found.strides):
            level_name = f'{name}_stride{stride}'
            loss = distiller['distill_losses'][name]
            losses[level_name] = {k: v for k, v in loss.items() if k != 'levels'}
            mappings[level_name] = {k: _one_level(v) for k, v in mapping.items()}
            records = _records(mappings[level_name])
            project = _projection(
                student.levels[position : position + 1],
                teacher.levels[position : position + 1],
                always,
            )
            _connect_level(records['student'], student, position, project, level_name, connectors)
            _connect_level(records['teacher'], teacher, position, [], level_name, connectors)
    distiller.update(distill_losses=losses, loss_forward_mappings=mappings)
    return _fitted(distiller, connectors, student, teacher, found)._replace(whole=True)


def _sides(pair: Pair) -> tuple[_Side, _Side, Match]:
    student = pyramid_of(pair.student, 'student')
    teacher = pyramid_of(pair.teacher, 'teacher')
    found = match(student.strides, teacher.strides)
    return (
        _Side(student, found.student, found.student_downsample),
        _Side(teacher, found.teacher, found.teacher_downsample),
        found,
    )


def _records(mapping: Mapping[str, Config]) -> dict[str, Config]:
    """Where a loss takes the student's and the teacher's levels from."""
    return {
        'student' if record['from_student'] else 'teacher': record for record in mapping.values()
    }


def _one_level(record: Config) -> Config:
    return dict(from_student=record['from_student'], recorder=record['recorder'])


def _select(indices: tuple[int, ...], factor: int) -> Config:
    downsample = dict(downsample=factor) if factor > 1 else {}
    return dict(type='mmkd.SelectLevels', levels=indices, **downsample)


def _projection(students: list[Level], teachers: list[Level], always: bool) -> list[Config]:
    """Connector from the student's widths to the teacher's, if it is needed or asked for."""
    widths = tuple(level.channels for level in students)
    out_channels = teachers[0].channels
    if not always and set(widths) == {out_channels}:
        return []
    in_channels = widths[0] if len(set(widths)) == 1 else widths
    return [
        dict(
            type='mmkd.LevelwiseConv',
            in_channels=in_channels,
            out_channels=out_channels,
            num_levels=len(students),
        )
    ]


def _connect(record: Config, chain: list[Config], name: str, connectors: Config) -> None:
    record.pop('connector', None)
    if chain:
        record['connector'] = name
        connectors[name] = chain[0] if len(chain) == 1 else chain


def _connect_level(
    record: Config,
    side: _Side,
    position: int,
    project: list[Config],
    loss: str,
    connectors: Config,
) -> None:
    """Let a record be one level, which a recorder or, if it is pooled, a connector picks."""
    who = 'student' if record['from_student'] else 'teacher'
    name = f'{loss.removeprefix("loss_")}_{who}'
    index = side.indices[position]
    if side.factor == 1:
        record['data_idx'] = index
        _connect(record, project, name, connectors)
    else:
        _connect(record, [_select((index,), side.factor), *project], name, connectors)
        record['connector_idx'] = 0


def _fitted(
    distiller: Config, connectors: Config, student: _Side, teacher: _Side, found: Match
) -> Fitted:
    distiller['student_recorders'][RECORDER]['source'] = student.pyramid.source
    distiller['teacher_recorders'][RECORDER]['source'] = teacher.pyramid.source
    if connectors:
        distiller['connectors'] = connectors
    else:
        distiller.pop('connectors', None)
    return Fitted(distiller, [*_decisions(student, teacher, found)])


def _decisions(student: _Side, teacher: _Side, found: Match) -> list[tuple[str, str]]:
    strides, students, teachers = map(listed, (found.strides, found.student, found.teacher))
    lines = [
        ('student', str(student.pyramid)),
        ('teacher', str(teacher.pyramid)),
        (
            'levels',
            f"strides {strides}: the student's levels {students} and the teacher's {teachers}",
        ),
    ]
    for who, side in (('student', student), ('teacher', teacher)):
        if side.factor > 1:
            lines.append(
                ('levels', f"no stride is common: the {who}'s levels are pooled by {side.factor}")
            )
    widths = [{level.channels for level in side.levels} for side in (student, teacher)]
    if widths[0] != widths[1]:
        lines.append(
            ('widths', "they differ: a convolution a level brings the student's to the teacher's")
        )
    return lines


def _distiller(loss: str, config: Config, arguments: tuple[str, str], **record: Any) -> Config:
    """A distiller of one loss, a term beside which there is no other."""
    student, teacher = arguments
    return dict(
        type='ConfigurableDistiller',
        student_recorders={RECORDER: dict(type='ModuleOutputs', source='neck')},
        teacher_recorders={RECORDER: dict(type='ModuleOutputs', source='neck')},
        distill_losses={loss: config},
        loss_forward_mappings={
            loss: {
                student: dict(from_student=True, recorder=RECORDER, **record),
                teacher: dict(from_student=False, recorder=RECORDER),
            }
        },
    )


MMRAZORS = ('preds_S', 'preds_T')


def _pkd(weight: float) -> Method:
    loss = dict(type='PKDLoss', loss_weight=weight)
    return Method(_distiller('loss_pkd', loss, MMRAZORS), fit_pyramid)


# Weights of PKD and CWD are those of MMRazor's configs.
PYRAMID_METHODS = {
    'pcka': Method('pcka_pyramid', fit_pyramid),
    'pcka-mimic': Method('pcka_mimic_pyramid', fit_pyramid),
    'mimic': Method(
        _distiller(
            'loss_mimic',
            dict(type='mmkd.MimicLoss', levels=(0, 1, 2, 3), loss_weight=1.0),
            ('student', 'teacher'),
            connector='mimic',
        ),
        fit_pyramid,
    ),
    'pkd': _pkd(6.0),
    'cwd': Method(
        _distiller(
            'loss_cwd', dict(type='ChannelWiseDivergence', tau=1.0, loss_weight=10.0), MMRAZORS
        ),
        fit_levels,
    ),
}
# Of two one-stage detectors.
ONE_STAGE_PYRAMID_METHODS = PYRAMID_METHODS | {'pkd': _pkd(10.0)}
