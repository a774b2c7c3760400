"""Methods that compare the instances of a batch, fitted to a pair of detectors."""

import copy
from collections.abc import Mapping
from typing import Any

from mmkd.pairing.inspection.pyramid import Pyramid, pyramid_of
from mmkd.pairing.methods.method import Fitted, Method, Pair, set_widths

Config = dict[str, Any]
POOLING = 'mmkd.InstanceFeatures'


def fit_instances(distiller: Config, pair: Pair) -> Fitted:
    """Pool each network's instances from its own levels, and set the connectors' widths.

    Raises:
        ValueError: If levels of a pyramid differ in width, or are not ordered by stride.
    """
    pyramids = {who: pyramid_of(calls, who) for who, calls in pair.sides.items()}
    for who, pyramid in pyramids.items():
        _check_can_be_pooled(pyramid, who)
        for recorder in distiller[f'{who}_recorders'].values():
            recorder['source'] = pyramid.source
    differ = pyramids['student'].strides != pyramids['teacher'].strides
    if differ:
        _separate_connectors(distiller)
    for record in _records(distiller):
        who = 'student' if record['from_student'] else 'teacher'
        pooling = _pooling(distiller['connectors'][record['connector']])
        if pooling is not None:
            pooling['strides'] = pyramids[who].strides
    widths = {who: pyramid.levels[0].channels for who, pyramid in pyramids.items()}
    set_widths(distiller, **widths)
    decisions = [(who, str(pyramid)) for who, pyramid in pyramids.items()]
    where = 'each at its own strides' if differ else 'both at the same strides'
    return Fitted(distiller, [*decisions, ('instances', f'the ground truth of {where}')])


def _check_can_be_pooled(pyramid: Pyramid, who: str) -> None:
    if len({level.channels for level in pyramid.levels}) > 1:
        raise ValueError(
            f'{who}: expected levels of one width, to pool instances from any of them, got '
            f'{pyramid}; compare levels, as pcka does'
        )
    if sorted(set(pyramid.strides)) != [*pyramid.strides]:
        raise ValueError(f'{who}: expected levels of ascending strides, got {pyramid}')


def _records(distiller: Config) -> list[Config]:
    return [
        record
        for mapping in distiller['loss_forward_mappings'].values()
        for record in mapping.values()
    ]


def _separate_connectors(distiller: Config) -> None:
    """Give the teacher copies of the connectors that both networks share."""
    shared = {record['connector'] for record in _records(distiller) if record['from_student']}
    for record in _records(distiller):
        name = record['connector']
        if not record['from_student'] and name in shared:
            record['connector'] = f'{name}_teacher'
            distiller['connectors'][f'{name}_teacher'] = copy.deepcopy(
                distiller['connectors'][name]
            )


def _pooling(connector: Config | list[Config]) -> Config | None:
    """The part of a connector that pools instances."""
    parts = connector if isinstance(connector, list) else [connector]
    return next((part for part in parts if part['type'] == POOLING), None)


INSTANCE_METHODS: Mapping[str, Method] = {
    name: Method(f'{name}_instances', fit_instances) for name in ('rcka', 'fkd', 'cckd', 'dlkd')
}
