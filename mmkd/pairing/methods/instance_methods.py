"""Methods for detectors that compare the instances of a batch."""

from functools import partial

from mmkd.pairing.inspection.pyramid import Pyramid, pyramid_of
from mmkd.pairing.methods.method import Fitted, Method, Pair, published


def _fit(name: str, pair: Pair) -> Fitted:
    """The published losses between instances, which each network pools from its own levels."""
    distiller = published(f'{name}_instances')
    pyramids = {who: pyramid_of(calls, who) for who, calls in pair.sides.items()}
    for who, pyramid in pyramids.items():
        _check_can_be_pooled(pyramid, who)
    instances = distiller.pop('recorders')['instances']
    recorders = {
        f'{who}_recorders': dict(instances=dict(instances, source=pyramid.source))
        for who, pyramid in pyramids.items()
    }
    if pyramids['student'].source == pyramids['teacher'].source:
        recorders = dict(recorders=recorders['student_recorders'])
    text = 'one row per ground-truth box, pooled from the levels of each network'
    decisions = [*((who, str(pyramid)) for who, pyramid in pyramids.items()), ('instances', text)]
    return Fitted(recorders | distiller, decisions)


INSTANCE_METHODS: dict[str, Method] = {
    name: partial(_fit, name) for name in ('rcka', 'fkd', 'cckd', 'dlkd')
}


def _check_can_be_pooled(pyramid: Pyramid, who: str) -> None:
    if len({level.channels for level in pyramid.levels}) > 1:
        raise ValueError(
            f'{who}: expected levels of one width, because each instance is pooled from one of '
            f'them, got {pyramid}; use a method that compares levels, such as pcka'
        )
    if sorted(set(pyramid.strides)) != [*pyramid.strides]:
        raise ValueError(f'{who}: expected levels of ascending strides, got {pyramid}')
