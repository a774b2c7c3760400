"""Methods for a pair of classifiers."""

from functools import partial
from typing import Any

from mmkd.pairing.inspection.head_classes import check_same_number
from mmkd.pairing.inspection.trace import Calls
from mmkd.pairing.methods.method import Config, Fitted, Method, Pair, both, published

NAMES = ('kd', 'dkd', 'dist', 'rkd', 'rcka', 'fkd', 'cckd', 'cmkd', 'dlkd')
# Settings of the algorithm that a method needs.
MODEL = {'dlkd': dict(views='rotations')}


def _fit(name: str, pair: Pair) -> Fitted:
    """The published losses, where these two networks have features, maps and logits."""
    distiller = published(name)
    found: dict[str, dict[str, Any]] = {who: {} for who in pair.sides}
    for loss in distiller['losses'].values():
        place = loss['on'] if isinstance(loss['on'], str) else loss['on']['source']
        if place == 'head.fc':
            numbers = {who: _num_classes(calls, who) for who, calls in pair.sides.items()}
            check_same_number(**numbers, instead='fkd or dlkd')
        for who, calls in pair.sides.items():
            found[who][place] = PLACES[place](calls, who)
        loss['on'] = both(*(of[place] for of in found.values()))
    decisions = [
        (who, _described(calls, [*found[who].values()], who)) for who, calls in pair.sides.items()
    ]
    return Fitted(distiller, decisions, MODEL.get(name, {}))


CLASSIFIER_METHODS: dict[str, Method] = {name: partial(_fit, name) for name in NAMES}


def _feature(calls: Calls, who: str) -> Config:
    """The pooled features: the last output of the neck or, without one, of the backbone."""
    source = 'neck' if 'neck' in calls else 'backbone'
    outputs = calls.get(source, [()])[0]
    if not outputs or len(outputs[-1].shape) != 2:
        found = str(outputs[-1]) if outputs else 'nothing'
        raise ValueError(f'{who}: expected features (B, D) of its {source}, got {found}')
    return dict(source=source, data_idx=len(outputs) - 1)


def _maps(calls: Calls, _who: str) -> str | Config:
    """The last maps of the backbone."""
    count = len(calls['backbone'][0])
    return 'backbone' if count == 1 else dict(source='backbone', data_idx=count - 1)


def _logits(calls: Calls, who: str) -> str:
    """The last layer of the head."""
    names = [name for name in calls if name.startswith('head.') and len(_last(calls, name)) == 2]
    if not names:
        raise ValueError(f'{who}: expected a head with a layer that returns logits, got none')
    return names[-1]


# By the modules of the published distillers.
PLACES = {'neck': _feature, 'backbone': _maps, 'head.fc': _logits}


def _described(calls: Calls, places: list[Any], who: str) -> str:
    sources = [place if isinstance(place, str) else place['source'] for place in places]
    recorded = ', '.join(f'{source} ({calls[source][0][-1]})' for source in sources)
    return f'{recorded}; {_num_classes(calls, who)} classes'


def _num_classes(calls: Calls, who: str) -> int:
    return _last(calls, _logits(calls, who))[-1]


def _last(calls: Calls, name: str) -> tuple[int, ...]:
    outputs = calls[name][-1]
    return outputs[-1].shape if outputs else ()
