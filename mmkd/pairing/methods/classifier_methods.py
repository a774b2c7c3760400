"""Methods for a pair of classifiers."""

from collections.abc import Mapping
from typing import Any

from mmkd.pairing.inspection.head_classes import check_same_number
from mmkd.pairing.inspection.trace import Calls, Output
from mmkd.pairing.methods.method import Fitted, Method, Pair, set_widths

Config = dict[str, Any]


def fit_classifier(distiller: Config, pair: Pair) -> Fitted:
    """Record each network where its maps, features and logits are, and set connectors' widths.

    Raises:
        ValueError: If one has no pooled features, or logits are compared and the classes differ.
    """
    decisions = []
    for who, calls in pair.sides.items():
        for name, recorder in distiller[f'{who}_recorders'].items():
            if name in SOURCES:
                recorder['source'] = SOURCES[name](calls, who)
        decisions.append((who, _described(calls, distiller[f'{who}_recorders'], who)))
    if 'logits' in distiller['student_recorders']:
        _check_classes(pair)
    if 'feature' in distiller['student_recorders']:
        widths = {
            who: _width(calls, feature_source(calls, who)) for who, calls in pair.sides.items()
        }
        set_widths(distiller, **widths)
    _take_the_last(distiller, pair)
    return Fitted(distiller, decisions)


def feature_source(calls: Calls, who: str) -> str:
    """Name of the module that returns the pooled features.

    Raises:
        ValueError: If neither neck nor backbone does.
    """
    source = 'neck' if 'neck' in calls else 'backbone'
    outputs = calls.get(source, [()])[0]
    if not outputs or len(outputs[-1].shape) != 2:
        found = str(outputs[-1]) if outputs else 'nothing'
        raise ValueError(f'{who}: expected features (B, D) of its {source}, got {found}')
    return source


def logit_source(calls: Calls, who: str) -> str:
    """Name of the layer that returns the logits: the head's last.

    Raises:
        ValueError: If no module of a head ran.
    """
    names = [name for name in calls if name.startswith('head.') and len(_last(calls, name)) == 2]
    if not names:
        raise ValueError(f'{who}: expected a head with a layer that gives logits, got none')
    return names[-1]


def _map_source(_calls: Calls, _who: str) -> str:
    return 'backbone'


# What distillers record, by the recorders' names.
SOURCES = dict(feature=feature_source, maps=_map_source, logits=logit_source)


def _described(calls: Calls, recorders: Mapping[str, Config], who: str) -> str:
    sources = [recorders[name]['source'] for name in SOURCES if name in recorders]
    recorded = ', '.join(f'{source} ({calls[source][0][-1]})' for source in sources)
    return f'{recorded}; {_width(calls, logit_source(calls, who))} classes'


def _width(calls: Calls, name: str) -> int:
    return _last(calls, name)[-1]


def _last(calls: Calls, name: str) -> tuple[int, ...]:
    outputs: tuple[Output, ...] = calls[name][-1]
    return outputs[-1].shape if outputs else ()


def _check_classes(pair: Pair) -> None:
    student, teacher = (
        _width(calls, logit_source(calls, who)) for who, calls in pair.sides.items()
    )
    check_same_number(student, teacher, instead='fkd or dlkd')


def _take_the_last(distiller: Config, pair: Pair) -> None:
    """Compare the last of several outputs of a backbone or neck."""
    counts = {
        who: {
            name: len(calls[recorder['source']][0])
            for name, recorder in distiller[f'{who}_recorders'].items()
            if name in ('feature', 'maps')
        }
        for who, calls in pair.sides.items()
    }
    for mapping in distiller['loss_forward_mappings'].values():
        for record in mapping.values():
            name = record['recorder']
            if name in ('feature', 'maps'):
                count = counts['student' if record['from_student'] else 'teacher'][name]
                if 'data_idx' in record or count > 1:
                    record['data_idx'] = count - 1


CLASSIFIER_METHODS: Mapping[str, Method] = {
    name: Method(name, fit_classifier)
    for name in ('kd', 'dkd', 'dist', 'rkd', 'rcka', 'fkd', 'cckd', 'cmkd')
} | {'dlkd': Method('dlkd', fit_classifier, dict(views='rotations'))}
