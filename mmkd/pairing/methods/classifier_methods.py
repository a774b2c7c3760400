"""Methods for a pair of classifiers."""

from typing import Any

from mmkd.pairing.inspection.head_classes import check_same_number
from mmkd.pairing.inspection.trace import Calls
from mmkd.pairing.methods.method import Config, Fitted, Method, Pair, both, connectors

EMBEDDING: Config = dict(type='mmkd.LinearEmbed')
KD: Config = dict(type='KLDivergence', tau=4.0, loss_weight=0.9)
# MMPretrain's heads pass the labels to their loss module.
LABELS: Config = dict(
    inputs=dict(gt_labels=dict(type='ModuleInputs', source='head.loss_module', data_idx=1))
)
CCKD: Config = dict(
    type='mmkd.CCKDLoss', kernel='rbf', order=2, gamma=0.4, loss_weight=0.003
) | connectors([EMBEDDING], [EMBEDDING])
DLKD_ALIGN: Config = dict(type='mmkd.DLKDAlignLoss', loss_weight=10.0) | connectors(
    [dict(type='mmkd.ProjectionMLP')]
)
DLKD_CORR: Config = dict(
    type='mmkd.DLKDCorrLoss', num_views=4, tau=0.5, loss_weight=20.0
) | connectors([dict(type='mmkd.ProjectionMLP', expansion=1, out_channels='student')])
DLKD_SUP: Config = (
    dict(type='mmkd.DLKDSupLoss', tau=0.07, loss_weight=0.5)
    | LABELS
    | connectors([EMBEDDING], [EMBEDDING])
)
# Of each method: what its losses compare (features, maps or logits), and the losses.
LOSSES: dict[str, dict[str, tuple[str, Config]]] = {
    'kd': dict(kd=('logits', KD)),
    'dkd': dict(dkd=('logits', dict(type='DKDLoss', tau=4.0, alpha=1.0, beta=8.0) | LABELS)),
    'dist': dict(
        dist=(
            'logits',
            dict(type='DISTLoss', inter_loss_weight=1.0, intra_loss_weight=1.0, tau=4.0),
        )
    ),
    'rkd': dict(
        rkd_distance=(
            'feature',
            dict(type='DistanceWiseRKD', with_l2_norm=False, loss_weight=25.0),
        ),
        rkd_angle=('feature', dict(type='AngleWiseRKD', with_l2_norm=False, loss_weight=50.0)),
    ),
    'rcka': dict(
        rcka_features=('maps', dict(type='mmkd.FCKALoss', loss_weight=5.0)),
        rcka_logits=('logits', dict(type='mmkd.LCKALoss', loss_weight=5.0)),
    ),
    'fkd': dict(
        fkd=('feature', dict(type='mmkd.FKDLoss', kernel_weight=300.0, regularization_weight=20.0))
    ),
    'cckd': dict(cckd=('feature', CCKD), kd=('logits', dict(KD, loss_weight=1.0))),
    'cmkd': dict(
        cmkd=(
            'logits',
            dict(type='mmkd.CMKDLoss', tau=4.0, primary_weight=4.0, secondary_weight=1.0),
        )
    ),
    'dlkd': dict(
        dlkd_align=('feature', DLKD_ALIGN),
        dlkd_corr=('feature', DLKD_CORR),
        dlkd_sup=('feature', DLKD_SUP),
    ),
}
# Settings of the algorithm that a method needs.
MODEL = {'dlkd': dict(views='rotations')}


def _method(name: str) -> Method:
    def fit(pair: Pair) -> Fitted:
        compared = LOSSES[name].values()
        places = {what: _places(pair, what) for what in dict.fromkeys(what for what, _ in compared)}
        if 'logits' in places:
            numbers = {who: _num_classes(calls, who) for who, calls in pair.sides.items()}
            check_same_number(**numbers, instead='fkd or dlkd')
        losses = {
            loss: {'type': config['type'], 'on': both(*places[what].values()), **config}
            for loss, (what, config) in LOSSES[name].items()
        }
        decisions = [
            (who, _described(calls, [of[who] for of in places.values()], who))
            for who, calls in pair.sides.items()
        ]
        return Fitted(dict(losses=losses), decisions, MODEL.get(name, {}))

    fit.__doc__ = f'{name} between two classifiers.'
    return fit


CLASSIFIER_METHODS: dict[str, Method] = {name: _method(name) for name in LOSSES}


def _places(pair: Pair, what: str) -> dict[str, Any]:
    """Where each network has its features, maps or logits."""
    return {who: SOURCES[what](calls, who) for who, calls in pair.sides.items()}


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


SOURCES = dict(feature=_feature, maps=_maps, logits=_logits)


def _described(calls: Calls, places: list[Any], who: str) -> str:
    sources = [place if isinstance(place, str) else place['source'] for place in places]
    recorded = ', '.join(f'{source} ({calls[source][0][-1]})' for source in sources)
    return f'{recorded}; {_num_classes(calls, who)} classes'


def _num_classes(calls: Calls, who: str) -> int:
    return _last(calls, _logits(calls, who))[-1]


def _last(calls: Calls, name: str) -> tuple[int, ...]:
    outputs = calls[name][-1]
    return outputs[-1].shape if outputs else ()
