"""The recipe: features, scores and boxes together."""

from mmkd.pairing.methods.box_methods import compare_boxes
from mmkd.pairing.methods.logit_methods import compare_scores
from mmkd.pairing.methods.method import Config, Decisions, Fitted, Pair
from mmkd.pairing.methods.pyramid_methods import pkd

# Weights that benchmarks/which_method.py chose on the digits, seed 10.
HEADS = dict(scores=(compare_scores, 4.0), boxes=(compare_boxes, 1.0))


def recipe(pair: Pair) -> Fitted:
    """Features by PKD, and what the heads of the pair allow: scores and boxes.

    Raises:
        ValueError: If the strides of the pyramids do not fit.
    """
    features = pkd(pair)
    decisions: Decisions = [*features.decisions]
    losses: Config = {**features.distiller['losses']}
    for name, (compare, weight) in HEADS.items():
        try:
            fitted = compare(pair)
        except ValueError as error:
            decisions.append((name, f'left out: {error}'))
            continue
        losses[name] = fitted.distiller['losses'][name] | dict(loss_weight=weight)
        decisions += [line for line in fitted.decisions if line not in decisions]
    return Fitted(dict(losses=losses), decisions)
