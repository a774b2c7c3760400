"""Widths of connectors, and whether losses can compare shapes, from one pass over zeros."""

import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmrazor.models import losses as mmrazor_losses
from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.models.task_modules import RecorderManager
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from mmkd.algorithms.recorder_sources import cheapest_mode, release
from mmkd.models.zero_image import run_on_zeros, zero_sample
from mmkd.recorders import EnsembleOutputsRecorder, InstanceFeaturesRecorder
from mmkd.recorders.step_context import StepContext, open_step
from mmkd.registry import MODELS

Settings = dict[str, Any]
# Small sides first. 128 pixels give every level of a pyramid a whole stride; some networks take
# one size only.
SIDES = (64, 128, 224, 256, 384, 512)
# Arguments of connectors, in mmkd and MMRazor, that are a width, by whose it is.
INPUT_WIDTHS = ('in_channels', 'in_channel', 'dim_in')
NETWORK_WIDTHS = {'student_channels': 'student', 'teacher_channels': 'teacher'}
OUTPUT_WIDTHS = ('out_channels', 'out_channel')
NETWORKS = ('student', 'teacher')
# mmkd's losses say so themselves, by `needs_equal_shapes`.
_MMRAZORS_OF_EQUAL_SHAPES = (
    mmrazor_losses.ABLoss,
    mmrazor_losses.ChannelWiseDivergence,
    mmrazor_losses.CrossEntropyLoss,
    mmrazor_losses.DISTLoss,
    mmrazor_losses.DKDLoss,
    mmrazor_losses.FTLoss,
    mmrazor_losses.KDSoftCELoss,
    mmrazor_losses.KLDivergence,
    mmrazor_losses.L1Loss,
    mmrazor_losses.L2Loss,
    mmrazor_losses.MGDLoss,
    mmrazor_losses.OFDLoss,
    mmrazor_losses.PKDLoss,
    mmrazor_losses.WSLD,
)


class _Seen(NamedTuple):
    """What a loss gets for one argument: the output of a module, perhaps through a connector."""

    value: Any
    name: str


def build_connectors(
    distiller: ConfigurableDistiller,
    connectors: Mapping[str, Any],
    student: BaseModel,
    teachers: Mapping[str, BaseModel],
) -> None:
    """Give a distiller its connectors, with every width that was left out.

    Both networks run once on a small image of zeros. What the recorders hold then tells the widths
    of connectors, the strides of instance features, the classes of losses on logits, and whether
    each loss can compare its two sides.

    Args:
        distiller: Its recorders are attached to the models; it has no connectors yet.
        connectors: Their configs by name; a list of configs is a chain.
        student: The student.
        teachers: Each teacher by the prefix of its modules' names; a single one has none.

    Raises:
        ValueError: If a width cannot be inferred, a given one is not that of the features, or a
            loss would compare different shapes.
    """
    fitting = _Fitting(distiller, connectors)
    with torch.random.fork_rng(devices=[]), _look(distiller, student, teachers) as fitting.problem:
        for name in distiller.loss_forward_mappings:
            _infer_classes(distiller, name, student)
            sides = [fitting.side(name, network) for network in NETWORKS]
            _check_shapes(name, distiller.distill_losses[name], *sides)
    with DefaultScope.overwrite_default_scope('mmrazor'):
        distiller.connectors = distiller.build_connectors(fitting.configs)


@contextmanager
def _look(
    distiller: ConfigurableDistiller, student: BaseModel, teachers: Mapping[str, BaseModel]
) -> Iterator[str]:
    """Hold what the recorders see of an image of zeros; yields why they see nothing, or ''."""
    for side in SIDES:
        size = (side, side)
        try:
            with distiller.student_recorders:
                run_on_zeros(student, size, _mode(distiller.student_recorders))
            with distiller.teacher_recorders:
                for prefix, teacher in teachers.items():
                    run_on_zeros(teacher, size, _mode(distiller.teacher_recorders, prefix))
            for recorder in _recorders(distiller):
                if isinstance(recorder, InstanceFeaturesRecorder):
                    recorder.infer_strides(side)
        except Exception as error:  # a network that takes no such image fails in any way
            problem = f'the networks do not run on zeros ({type(error).__name__}: {error})'
        else:
            problem = ''
            break
    try:
        with open_step(StepContext([zero_sample(size)], seed=0)), torch.no_grad():
            yield problem
    finally:
        release(distiller.student_recorders, distiller.teacher_recorders)


def _mode(recorders: RecorderManager, prefix: str = '') -> str:
    mode = cheapest_mode(recorders, member=prefix)
    return 'tensor' if mode == 'loss' else mode  # losses want a ground truth of their own kind


def _recorders(distiller: ConfigurableDistiller) -> Iterator[Any]:
    managers = distiller.student_recorders, distiller.teacher_recorders
    yield from itertools.chain(*(manager.recorders.values() for manager in managers))


class _Fitting:
    """Connector configs that are completed one by one, as losses ask for them."""

    def __init__(self, distiller: ConfigurableDistiller, connectors: Mapping[str, Any]) -> None:
        self.distiller = distiller
        self.configs = dict(connectors)
        self.problem = ''
        self._fitted: dict[str, nn.Module] = {}
        self._asked: set[tuple[str, str]] = set()

    def side(self, loss: str, network: str) -> _Seen | None:
        """What a loss gets from one network first of all; None if that is not known."""
        for record in self.distiller.loss_forward_mappings[loss].values():
            if record['from_student'] == (network == 'student'):
                return self._seen(loss, network, record)
        return None

    def _seen(self, loss: str, network: str, record: Mapping[str, Any]) -> _Seen | None:
        recorder = self._recorder(record)
        value, name = self._recorded(record), recorder.source or record['recorder']
        connector = record.get('connector')
        if connector is None:
            return None if value is None else _Seen(value, name)
        if connector not in self._fitted:
            self._fit(connector, loss, network, value)
        value = _output(self._fitted[connector], value)
        if value is not None and record.get('connector_idx') is not None:
            value = value[record['connector_idx']]
        return None if value is None else _Seen(value, f'{name} through the connector {connector}')

    def _recorded(self, record: Mapping[str, Any]) -> Any:
        plain = {k: v for k, v in record.items() if k not in ('connector', 'connector_idx')}
        try:
            value = self.distiller.get_record(**plain)
        except (AssertionError, ValueError, TypeError, IndexError):
            return None  # the module did not run on zeros, as those of losses
        ensemble = isinstance(self._recorder(record), EnsembleOutputsRecorder)
        return value if _tensors(value) and not ensemble else None

    def _recorder(self, record: Mapping[str, Any]) -> BaseRecorder:
        side = 'student' if record['from_student'] else 'teacher'
        return getattr(self.distiller, f'{side}_recorders').get_recorder(record['recorder'])

    def _fit(self, name: str, loss: str, network: str, value: Any) -> None:
        """Complete the configs of a chain, and build it without memory to see what it returns."""
        chain, parts = [], []
        config = self.configs[name]
        for part_config in config if isinstance(config, list | tuple) else [config]:
            completed = self._complete(part_config, f'connectors.{name}', loss, network, value)
            part = _empty(completed)
            chain.append(completed)
            parts.append(part)
            value = _output(part, value)
        self.configs[name] = chain if isinstance(config, list | tuple) else chain[0]
        self._fitted[name] = nn.Sequential(*parts)

    def _complete(
        self, config: Settings, path: str, loss: str, network: str, value: Any
    ) -> Settings:
        with MODELS.switch_scope_and_registry('mmrazor') as registry:
            kind = config['type']
            cls = kind if isinstance(kind, type) else registry.get(kind)
        parameters = inspect.signature(cls.__init__).parameters if cls else {}
        completed = dict(config)
        for key, parameter in parameters.items():
            given = config.get(key, parameter.default)
            left_out = given is None or given is parameter.empty
            if key in INPUT_WIDTHS and left_out:
                completed[key] = self._width(value, path, key)
            elif key in INPUT_WIDTHS and key in config:
                _check_width(given, value, f'{path}.{key}', f"the {network}'s features")
            elif key in NETWORK_WIDTHS and left_out:
                completed[key] = self._width_of(
                    loss, NETWORK_WIDTHS[key], network, value, path, key
                )
            elif key in OUTPUT_WIDTHS and (given in NETWORKS or given is parameter.empty):
                other = 'teacher' if network == 'student' else 'student'
                whose = given if given in NETWORKS else other
                completed[key] = self._width_of(loss, whose, network, value, path, key)
            elif key == 'num_levels' and left_out:
                completed[key] = self._num_levels(loss, value, path)
        for key in INPUT_WIDTHS:
            if isinstance(completed.get(key), tuple) and 'num_levels' in completed:
                completed[key] = completed[key][: completed['num_levels']]
        return completed

    def _width_of(
        self, loss: str, whose: str, network: str, value: Any, path: str, key: str
    ) -> int:
        """Width of what a loss gets from a network, before this connector if it is its own."""
        if whose != network:
            if (loss, whose) in self._asked:
                raise ValueError(f'{path}.{key}: expected a number, as each side asks the other')
            self._asked.add((loss, whose))
            seen = self.side(loss, whose)
            self._asked.discard((loss, whose))
            value = None if seen is None else seen.value
        width = self._width(value, path, key)
        return width[0] if isinstance(width, tuple) else width

    def _width(self, value: Any, path: str, key: str) -> int | tuple[int, ...]:
        if value is None:
            reason = self.problem or 'it was not recorded on an image of zeros'
            raise ValueError(f'{path}.{key}: expected a width, as it cannot be inferred: {reason}')
        widths = tuple(map(_channels, _tensors(value)))
        return widths[0] if len(set(widths)) == 1 else widths

    def _num_levels(self, loss: str, value: Any, path: str) -> int:
        levels = getattr(self.distiller.distill_losses[loss], 'levels', None)
        if levels is not None:
            return max(levels) + 1
        if value is None:
            raise ValueError(f'{path}.num_levels: expected a number; it cannot be inferred')
        return len(_tensors(value))


def _empty(config: Settings) -> nn.Module:
    """A connector with memory that nobody wrote to: only shapes matter."""
    with DefaultScope.overwrite_default_scope('mmrazor'), torch.device('meta'):
        return MODELS.build(config).to_empty(device='cpu').eval()


def _output(connector: nn.Module, value: Any) -> Any:
    """What a connector returns, or None if it fails: its own check comes with the first step."""
    try:
        return None if value is None else connector(value)
    except Exception:
        return None


def _check_width(given: Any, value: Any, path: str, what: str) -> None:
    widths = {*map(_channels, _tensors(value))}
    if isinstance(given, int) and widths and widths != {given}:
        found = ', '.join(map(str, sorted(widths)))
        raise ValueError(
            f'{path}: expected the width of {what}, {found}, got {given}; leave it out'
        )


def _tensors(value: Any) -> list[Tensor]:
    leaves = pytree.tree_leaves(value)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.ndim > 1]


def _channels(tensor: Tensor) -> int:
    """Of rows or maps the second size, of a transformer's tokens (B, N, C) the last."""
    return tensor.shape[2 if tensor.ndim == 3 else 1]


def _infer_classes(distiller: ConfigurableDistiller, name: str, student: BaseModel) -> None:
    """Fill a loss's number of classes by that of the head whose logits it gets."""
    loss = distiller.distill_losses[name]
    if getattr(loss, 'num_classes', 0) is not None:
        return
    for record in distiller.loss_forward_mappings[name].values():
        if record['from_student']:
            source = distiller.student_recorders.get_recorder(record['recorder']).source
            while source:
                source = source.rpartition('.')[0]
                classes = getattr(student.get_submodule(source), 'num_classes', None)
                if isinstance(classes, int):
                    loss.num_classes = classes
                    return
    raise ValueError(f'{name}: expected num_classes, as no head of the student states its own')


def _check_shapes(name: str, loss: nn.Module, student: _Seen | None, teacher: _Seen | None) -> None:
    """Raise if a loss that compares entry by entry would get different shapes."""
    if student is None or teacher is None:
        return
    if not getattr(loss, 'needs_equal_shapes', isinstance(loss, _MMRAZORS_OF_EQUAL_SHAPES)):
        return
    levels = getattr(loss, 'levels', None)
    shapes = [_shapes(seen.value, levels, loss) for seen in (student, teacher)]
    if shapes[0] != shapes[1] and all(shapes):
        found = [', '.join(map(str, own)) for own in shapes]
        raise ValueError(
            f"{name}: expected equal shapes, got {found[0]} of the student's {student.name} and "
            f"{found[1]} of the teacher's {teacher.name}; {_remedy(*shapes)}"
        )


def _shapes(
    value: Any, levels: Sequence[int] | None, loss: nn.Module
) -> list[tuple[int, ...]] | None:
    """Shapes of the compared tensors without the batch; None if a level is missing."""
    tensors = _tensors(value)
    if levels is not None and not isinstance(value, Tensor):
        if max(levels) >= len(tensors):
            return None
        tensors = [tensors[level] for level in levels]
    # PKD resizes maps itself.
    end = 2 if isinstance(loss, mmrazor_losses.PKDLoss) else None
    return [tuple(tensor.shape[1:end]) for tensor in tensors]


def _remedy(students: list[tuple[int, ...]], teachers: list[tuple[int, ...]]) -> str:
    if len(students) != len(teachers):
        return "choose levels by the loss's `levels`, or by a connector mmkd.SelectLevels"
    if any(s[1:] != t[1:] for s, t in zip(students, teachers, strict=True)):
        return 'add a connector mmkd.SelectLevels, which picks levels and pools them'
    connector = 'ProjectionMLP' if len(students[0]) == 1 else 'LevelwiseConv'
    return (
        'logits need a teacher of the same classes; for features add '
        f"student_connector=dict(type='mmkd.{connector}'), or compare samples, as mmkd.FKDLoss and "
        'mmkd.LCKALoss(inter_weight=0) do'
    )
