"""The short spelling of a distiller, expanded to MMRazor's.

A short distiller names its losses and the modules that they compare::

    distiller = dict(losses=dict(pcka=dict(type='mmkd.PCKALoss', on='neck', levels=(0, 1, 2, 3))))

MMRazor wants recorders, connectors, losses and a mapping from each loss argument to a record. Both
spellings may stand in one distiller.
"""

import copy
import inspect
from collections.abc import Mapping
from typing import Any

from mmkd.checking.close_names import did_you_mean
from mmkd.models.loss_names import loss_name
from mmkd.registry import MODELS

Settings = dict[str, Any]
SIDES = ('student', 'teacher')
# Keys of a loss that say where its inputs come from; all others are arguments of the loss.
PLACES = ('on', 'inputs', 'student_connector', 'teacher_connector')
# Keys of a place that are not arguments of its recorder.
INDICES = ('data_idx', 'record_idx')


def expand_distiller(distiller: Mapping[str, Any]) -> Settings:
    """Expand the short spelling of a distiller; one without it is returned as it is.

    Args:
        distiller: Config of a distiller. ``losses`` holds a dict for each loss: its ``type`` and
            arguments, ``on`` (where to look), ``student_connector`` and ``teacher_connector``, and
            ``inputs`` (further arguments of its ``forward``). ``recorders`` holds recorders of both
            networks, which ``on`` may name.

    Returns:
        A new config in MMRazor's spelling.

    Raises:
        ValueError: If an entry has no ``type`` or ``on``, or names something that does not exist.

    Example:
        >>> short = dict(losses=dict(pkd=dict(type='PKDLoss', on='neck')))
        >>> expand_distiller(short)['loss_forward_mappings']['loss_pkd']['preds_S']
        {'from_student': True, 'recorder': 'neck'}
    """
    full = copy.deepcopy(dict(distiller))
    losses, recorders = full.pop('losses', None), full.pop('recorders', {})
    if losses is None and not recorders:
        return full
    full.setdefault('type', 'ConfigurableDistiller')
    for side in SIDES:
        full[f'{side}_recorders'] = {**recorders, **full.get(f'{side}_recorders', {})}
    for part in ('connectors', 'distill_losses', 'loss_forward_mappings'):
        full.setdefault(part, {})
    for name, entry in (losses or {}).items():
        _add_loss(full, name, entry)
    return full


def _add_loss(full: Settings, short_name: str, entry: Mapping[str, Any]) -> None:
    name = loss_name(short_name)
    path = f'distiller.losses.{short_name}'
    if name in full['distill_losses']:
        raise ValueError(f'{path}: expected a name of its own, {name} is in distill_losses already')
    for key in ('type', 'on'):
        if entry.get(key) is None:
            raise ValueError(f'{path}: expected `{key}`, got only {[*entry]}')
    loss = {key: value for key, value in entry.items() if key not in PLACES}
    mapping = {}
    for argument, side in zip(_two_arguments(loss['type'], path), SIDES, strict=True):
        record = _record(full, _of_side(entry['on'], side, path), side, f'{path}.on')
        _connect(full, record, entry.get(f'{side}_connector'), f'{short_name}_{side}', path)
        mapping[argument] = record
    for argument, place in entry.get('inputs', {}).items():
        place = dict(place) if isinstance(place, Mapping) else dict(source=place)
        side = 'student' if place.pop('from_student', True) else 'teacher'
        connector = place.pop('connector', None)
        record = _record(full, place, side, f'{path}.inputs.{argument}')
        _connect(full, record, connector, f'{short_name}_{argument}', path)
        mapping[argument] = record
    full['distill_losses'][name] = loss
    full['loss_forward_mappings'][name] = mapping


def _two_arguments(loss: Any, path: str) -> list[str]:
    """The arguments of a loss's ``forward`` that take the student's and the teacher's side."""
    with MODELS.switch_scope_and_registry('mmrazor') as registry:
        cls: Any = loss if isinstance(loss, type) else registry.get(loss)
    if cls is None:
        hint = did_you_mean(loss, _known_losses())
        raise ValueError(f'{path}: expected the type of a registered loss, got {loss!r}{hint}')
    arguments = [*inspect.signature(cls.forward).parameters][1:3]
    if len(arguments) < 2:
        raise ValueError(
            f'{path}: expected a loss of a student and a teacher side, got {cls.__name__}, whose '
            f'forward takes {arguments}; spell it out in loss_forward_mappings'
        )
    return arguments


def _known_losses() -> list[str]:
    """Names of the losses of mmkd and MMRazor, as configs write them."""
    from mmrazor.models import losses as mmrazor_losses

    from mmkd import losses as own_losses

    return [f'mmkd.{name}' for name in own_losses.__all__] + [*mmrazor_losses.__all__]


def _of_side(on: Any, side: str, path: str) -> Any:
    """The student's or the teacher's part of ``on``."""
    if not (isinstance(on, Mapping) and set(on) & set(SIDES)):
        return on
    if set(on) != set(SIDES):
        raise ValueError(f'{path}.on: expected both student and teacher, got {[*on]}')
    return on[side]


def _record(full: Settings, place: Any, side: str, path: str) -> Settings:
    """Where a loss reads an argument; the recorder is added unless an equal one is there."""
    if not isinstance(place, str | Mapping):
        raise ValueError(
            f'{path}: expected the name of a module or recorder, or a dict, got {place!r}'
        )
    recorder = dict(source=place) if isinstance(place, str) else dict(place)
    indices = {key: recorder.pop(key) for key in INDICES if key in recorder}
    recorders = full[f'{side}_recorders']
    name = recorder.pop('recorder', None)
    if name is None and [*recorder] == ['source'] and recorder['source'] in recorders:
        name = recorder['source']
    if name is None:
        name = _recorder_name(recorders, {'type': 'ModuleOutputs', **recorder})
    elif name not in recorders:
        raise ValueError(f'{path}: expected one of the recorders {[*recorders]}, got {name!r}')
    return dict(from_student=side == 'student', recorder=name, **indices)


def _recorder_name(recorders: Settings, recorder: Settings) -> str:
    """The name of an equal recorder, or a new one after its module."""
    for name, known in recorders.items():
        if known == recorder:
            return name
    source, kind = recorder.get('source'), recorder['type'].split('.')[-1]
    base = source if isinstance(source, str) else kind
    names = [base, f'{base}:{kind}', *(f'{base}:{kind}{count}' for count in range(2, 99))]
    name = next(name for name in names if name not in recorders)
    recorders[name] = recorder
    return name


def _connect(full: Settings, record: Settings, connector: Any, name: str, path: str) -> None:
    """Let a record pass a connector: a config, a chain of configs, or the name of one."""
    if connector is None:
        return
    if isinstance(connector, str):
        if connector not in full['connectors']:
            known = [*full['connectors']]
            raise ValueError(f'{path}: expected one of the connectors {known}, got {connector!r}')
        name = connector
    else:
        full['connectors'][name] = [*connector] if isinstance(connector, tuple) else connector
    record['connector'] = name
