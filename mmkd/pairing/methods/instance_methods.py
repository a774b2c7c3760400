"""Methods for detectors that compare the instances of a batch."""

from mmkd.pairing.inspection.pyramid import Pyramid, pyramid_of
from mmkd.pairing.methods.method import Config, Fitted, Pair, both, connectors

EMBEDDING: Config = dict(type='mmkd.LinearEmbed')


def fkd(pair: Pair) -> Fitted:
    """FKD between instances. Nothing pulls their features to 0, because they feed several heads."""
    loss = dict(type='mmkd.FKDLoss', kernel_weight=30.0, regularization_weight=0.0)
    return _fitted(pair, fkd=loss)


def rcka(pair: Pair) -> Fitted:
    """The feature term of RCKA, between the maps of instances."""
    return _fitted(pair, rcka_features=dict(type='mmkd.FCKALoss', loss_weight=5.0), mean=False)


def cckd(pair: Pair) -> Fitted:
    """CCKD between embedded instances; the published weight of 0.003 has no effect here."""
    loss = dict(type='mmkd.CCKDLoss', kernel='rbf', order=2, gamma=0.4, loss_weight=10.0)
    # The teacher's projection is random: two trained embeddings could agree by saying nothing.
    loss |= connectors([EMBEDDING], [dict(EMBEDDING, frozen=True)])
    return _fitted(pair, cckd=loss)


def dlkd(pair: Pair) -> Fitted:
    """DLKD between instances; jittered boxes stand for the rotated views of an image."""
    align = dict(type='mmkd.DLKDAlignLoss', loss_weight=1.0)
    align |= connectors([dict(type='mmkd.ProjectionMLP')])
    corr = dict(type='mmkd.DLKDCorrLoss', num_views=4, tau=0.5, loss_weight=2.0)
    corr |= connectors([dict(type='mmkd.ProjectionMLP', expansion=1, out_channels='student')])
    labeled = dict(type='mmkd.DLKDSupLoss', tau=0.07, loss_weight=0.05)
    labeled |= dict(inputs=dict(gt_labels=dict(type='mmkd.InstanceLabels')))
    labeled |= connectors([EMBEDDING], [EMBEDDING])
    fitted = _fitted(pair, dlkd_align=align, dlkd_corr=corr, dlkd_sup=labeled, num_views=4)
    recorded = fitted.distiller['losses']['dlkd_align']['on']
    # Three losses read one recorder, so the boxes are pooled once. One loss reads the first view.
    names = dict(recorders=dict(instances=recorded))
    if 'student' in recorded:
        names = {f'{who}_recorders': dict(instances=of) for who, of in recorded.items()}
    losses = fitted.distiller['losses']
    for name, loss in losses.items():
        first = name == 'dlkd_sup'
        loss['on'] = dict(recorder='instances', data_idx=0) if first else 'instances'
    return fitted._replace(distiller=dict(**names, losses=losses))


def _fitted(pair: Pair, *, mean: bool = True, num_views: int = 1, **losses: Config) -> Fitted:
    """Let the losses compare instances, which each network pools from its own levels."""
    pyramids = {who: pyramid_of(calls, who) for who, calls in pair.sides.items()}
    for who, pyramid in pyramids.items():
        _check_can_be_pooled(pyramid, who)
    options = {} if mean else dict(mean=False)
    options |= {} if num_views == 1 else dict(num_views=num_views)
    places = [
        dict(type='mmkd.InstanceFeatures', source=pyramid.source, **options)
        for pyramid in pyramids.values()
    ]
    placed = {
        name: {'type': loss['type'], 'on': both(*places), **loss} for name, loss in losses.items()
    }
    decisions = [(who, str(pyramid)) for who, pyramid in pyramids.items()]
    text = 'one row per ground-truth box, pooled from the levels of each network'
    return Fitted(dict(losses=placed), [*decisions, ('instances', text)])


def _check_can_be_pooled(pyramid: Pyramid, who: str) -> None:
    if len({level.channels for level in pyramid.levels}) > 1:
        raise ValueError(
            f'{who}: expected levels of one width, because each instance is pooled from one of '
            f'them, got {pyramid}; use a method that compares levels, such as pcka'
        )
    if sorted(set(pyramid.strides)) != [*pyramid.strides]:
        raise ValueError(f'{who}: expected levels of ascending strides, got {pyramid}')
