"""Methods for detectors that compare boxes."""

from mmkd.pairing.methods.dense_layers import (
    at_levels,
    box_layer,
    class_layer,
    classes_of_both,
    common_levels,
    described,
)
from mmkd.pairing.methods.method import Fitted, Method, Pair


def compare_edges(pair: Pair) -> Fitted:
    """LD: compare the distributions of edges where the teacher sees an object.

    Raises:
        ValueError: If a head predicts no distributions, or the heads differ in locations or bins.
    """
    classes = classes_of_both(pair)
    layers = {
        who: box_layer(calls, bins, who)
        for (who, calls), bins in zip(pair.sides.items(), pair.edge_bins, strict=True)
    }
    count = common_levels(**layers)
    seen = class_layer(pair.teacher, classes['teacher'], 'teacher')
    places = at_levels(layers['student'], layers['teacher'], count)
    scores = dict(type='mmkd.LevelOutputs', source=seen.source, from_student=False)
    if 'teacher_connector' in places:
        scores['connector'] = places['teacher_connector']
    loss = dict(type='mmkd.LDLoss', inputs=dict(scores=scores), **places)
    return Fitted(dict(losses=dict(ld=loss)), described(layers, count, 'box distributions'))


BOX_METHODS: dict[str, Method] = {'ld': compare_edges}
