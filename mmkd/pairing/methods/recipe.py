"""The recipe: what together taught our detectors most."""

from mmkd.pairing.methods.box_methods import compare_boxes
from mmkd.pairing.methods.logit_methods import compare_scores
from mmkd.pairing.methods.method import Config, Decisions, Fitted, Pair
from mmkd.pairing.methods.pyramid_methods import pkd


def recipe(pair: Pair) -> Fitted:
    """Features by PKD, and what the heads of the pair allow: scores and boxes.

    Raises:
        ValueError: If the strides of the pyramids do not fit.
    """
    parts = [pkd(pair)]
    decisions: Decisions = [*parts[0].decisions]
    for topic, compare in (('scores', compare_scores), ('boxes', compare_boxes)):
        try:
            part = compare(pair)
        except ValueError as error:
            decisions.append((topic, f'left out: {error}'))
        else:
            parts.append(part)
            decisions += [line for line in part.decisions if line not in decisions]
    losses: Config = {}
    for part in parts:
        losses |= part.distiller['losses']
    return Fitted(dict(losses=losses), decisions)
