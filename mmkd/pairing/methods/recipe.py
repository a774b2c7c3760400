"""The recipe: what together taught our detectors most."""

from mmkd.pairing.methods.box_methods import compare_edges
from mmkd.pairing.methods.logit_methods import compare_scores
from mmkd.pairing.methods.method import Config, Decisions, Fitted, Pair
from mmkd.pairing.methods.pyramid_methods import compare_pyramids

FEATURES = dict(type='PKDLoss', loss_weight=10.0)
SCORES_WEIGHT = 1.0
EDGES_WEIGHT = 0.25


def recipe(pair: Pair) -> Fitted:
    """Features, and what the heads of the pair allow: class scores and box distributions."""
    parts = [compare_pyramids(pair, dict(features=FEATURES))]
    decisions: Decisions = [*parts[0].decisions]
    for topic, compare in (('scores', compare_scores), ('edges', compare_edges)):
        try:
            part = compare(pair)
        except ValueError as error:
            decisions.append((topic, f'left out; {error}'))
            continue
        parts.append(part)
        decisions += [line for line in part.decisions if line not in decisions]
    losses: Config = {}
    for part in parts:
        losses |= part.distiller['losses']
    return Fitted(dict(losses=losses), decisions)
