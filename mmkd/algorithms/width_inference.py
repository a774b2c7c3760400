"""Widths of connectors that a config leaves out, from one pass over zeros."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import Tensor, nn

from mmkd.algorithms.shape_check import Seen, check_shapes, tensors_of
from mmkd.algorithms.zero_pass import recorded_zeros
from mmkd.recorders import EnsembleOutputsRecorder
from mmkd.registry import MODELS

Settings = dict[str, Any]
# Arguments of connectors, in mmkd and MMRazor, that are a width, by whose it is.
INPUT_WIDTHS = ('in_channels', 'in_channel', 'dim_in')
NETWORK_WIDTHS = {'student_channels': 'student', 'teacher_channels': 'teacher'}
OUTPUT_WIDTHS = ('out_channels', 'out_channel')
NETWORKS = ('student', 'teacher')


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
    with (
        torch.random.fork_rng(devices=[]),
        recorded_zeros(distiller, student, teachers) as fitting.problem,
    ):
        for name in distiller.loss_forward_mappings:
            _infer_classes(distiller, name, student)
            _infer_queries(distiller.distill_losses[name], student)
            sides = [fitting.side(name, network) for network in NETWORKS]
            check_shapes(name, distiller.distill_losses[name], *sides)
    with DefaultScope.overwrite_default_scope('mmrazor'):
        distiller.connectors = distiller.build_connectors(fitting.configs)


class _Fitting:
    """Connector configs that are completed one by one, as losses ask for them."""

    def __init__(self, distiller: ConfigurableDistiller, connectors: Mapping[str, Any]) -> None:
        self.distiller = distiller
        self.configs = dict(connectors)
        self.problem = ''
        self._fitted: dict[str, nn.Module] = {}
        self._asked: set[tuple[str, str]] = set()

    def side(self, loss: str, network: str) -> Seen | None:
        """What a loss gets from one network first of all; None if that is not known."""
        for record in self.distiller.loss_forward_mappings[loss].values():
            if record['from_student'] == (network == 'student'):
                return self._seen(loss, network, record)
        return None

    def _seen(self, loss: str, network: str, record: Mapping[str, Any]) -> Seen | None:
        recorder = self._recorder(record)
        value, name = self._recorded(record), recorder.source or record['recorder']
        connector = record.get('connector')
        if connector is None:
            return None if value is None else Seen(value, name)
        if connector not in self._fitted:
            self._fit(connector, loss, network, value)
        value = _output(self._fitted[connector], value)
        if value is not None and record.get('connector_idx') is not None:
            value = value[record['connector_idx']]
        return None if value is None else Seen(value, f'{name} through the connector {connector}')

    def _recorded(self, record: Mapping[str, Any]) -> Any:
        plain = {k: v for k, v in record.items() if k not in ('connector', 'connector_idx')}
        try:
            value = self.distiller.get_record(**plain)
        except (AssertionError, ValueError, TypeError, IndexError):
            return None  # the module did not run on zeros, as those of losses
        ensemble = isinstance(self._recorder(record), EnsembleOutputsRecorder)
        return value if tensors_of(value) and not ensemble else None

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
            cls: Any = kind if isinstance(kind, type) else registry.get(kind)
        parameters = inspect.signature(cls).parameters if cls else {}
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
        widths = tuple(map(_channels, tensors_of(value)))
        return widths[0] if len(set(widths)) == 1 else widths

    def _num_levels(self, loss: str, value: Any, path: str) -> int:
        levels = getattr(self.distiller.distill_losses[loss], 'levels', None)
        if levels is not None:
            return max(levels) + 1
        if value is None:
            raise ValueError(f'{path}.num_levels: expected a number; it cannot be inferred')
        return len(tensors_of(value))


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
    widths = {*map(_channels, tensors_of(value))}
    if isinstance(given, int) and widths and widths != {given}:
        found = ', '.join(map(str, sorted(widths)))
        raise ValueError(
            f'{path}: expected the width of {what}, {found}, got {given}; leave it out'
        )


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


def _infer_queries(loss: Any, student: BaseModel) -> None:
    """Fill a loss's number of queries by the student's, which leaves out those for denoising."""
    if getattr(loss, 'num_queries', 0) is None:
        loss.num_queries = getattr(student, 'num_queries', None)
