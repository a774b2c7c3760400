"""How sure a dense head is that it sees an object."""

from torch import Tensor

from mmkd.functional.joint_logits import joint_logits
from mmkd.functional.numerics import upcast


def check_min_score(min_score: float) -> None:
    """Raise ValueError unless it is a probability below 1."""
    if not 0 <= min_score < 1:
        raise ValueError(f'min_score: expected a probability in [0, 1), got {min_score!r}')


def confidence(
    scores: Tensor, objectness: Tensor | None = None, *, anchors: int, min_score: float
) -> Tensor:
    """Return the highest score of each anchor; 0 where it is below ``min_score``.

    Args:
        scores: Class logits (N, A * K).
        objectness: Logits (N, A); None if classes alone give the score.
        anchors: A.
        min_score: Smallest score.

    Returns:
        Shape (N, A), without gradient.

    Raises:
        ValueError: If the shapes do not fit.
    """
    if scores.shape[1] % anchors:
        raise ValueError(
            f'scores: expected a multiple of {anchors} channels, one for each anchor, got '
            f'{scores.shape[1]}'
        )
    logits = upcast(scores.detach()).unflatten(1, (anchors, -1))
    if objectness is not None:
        logits = joint_logits(logits, objectness.detach().unflatten(1, (anchors, -1)))
    highest = logits.sigmoid().amax(-1)
    return highest * (highest >= min_score)
