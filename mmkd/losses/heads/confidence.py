"""How sure a dense head is that it sees an object."""

from torch import Tensor

from mmkd.functional.joint_logits import joint_logits
from mmkd.functional.numerics import upcast
from mmkd.losses.base.level_loss import Levels
from mmkd.losses.heads.dense_rows import dense_rows


def check_min_score(min_score: float) -> None:
    """Raise ValueError unless it is a probability below 1."""
    if not 0 <= min_score < 1:
        raise ValueError(f'min_score: expected a probability in [0, 1), got {min_score!r}')


def confidence(
    scores: Levels, objectness: Levels | None, *, anchors: int, min_score: float
) -> Tensor:
    """Return the highest score of each anchor; 0 where it is below ``min_score``.

    Args:
        scores: Class logits, one map (B, A * K, H, W) a level.
        objectness: Logits, one map (B, A, H, W) a level; None if classes alone give the score.
        anchors: A.
        min_score: Smallest score.

    Returns:
        Shape (N, A), without gradient.

    Raises:
        TypeError: If an argument is neither a Tensor nor a sequence of Tensors.
        ValueError: If the maps do not fit each other.
    """
    classes, *objects = dense_rows(
        scores=scores, **({} if objectness is None else dict(objectness=objectness))
    )
    if classes.shape[1] % anchors:
        raise ValueError(
            f'scores: expected a multiple of {anchors} channels, one for each anchor, got '
            f'{classes.shape[1]}'
        )
    logits = upcast(classes.detach()).unflatten(1, (anchors, -1))
    if objects:
        logits = joint_logits(logits, objects[0].detach().unflatten(1, (anchors, -1)))
    highest = logits.sigmoid().amax(-1)
    return highest * (highest >= min_score)
