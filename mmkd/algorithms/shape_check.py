"""Whether a loss that compares entry by entry gets equal shapes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from mmrazor.models import losses as mmrazor_losses
from torch import Tensor, nn
from torch.utils import _pytree as pytree

# mmkd's losses say so themselves, by `needs_equal_shapes`.
_MMRAZORS_OF_EQUAL_SHAPES = (
    mmrazor_losses.ABLoss,
    mmrazor_losses.ChannelWiseDivergence,
    mmrazor_losses.CrossEntropyLoss,
    mmrazor_losses.DISTLoss,
    mmrazor_losses.DKDLoss,
    mmrazor_losses.FTLoss,
    mmrazor_losses.KDSoftCELoss,
    mmrazor_losses.KLDivergence,
    mmrazor_losses.L1Loss,
    mmrazor_losses.L2Loss,
    mmrazor_losses.MGDLoss,
    mmrazor_losses.OFDLoss,
    mmrazor_losses.PKDLoss,
    mmrazor_losses.WSLD,
)


class Seen(NamedTuple):
    """What a loss gets for one argument: the output of a module, perhaps through a connector."""

    value: Any
    name: str


def check_shapes(name: str, loss: nn.Module, student: Seen | None, teacher: Seen | None) -> None:
    """Raise if a loss that compares entry by entry would get different shapes."""
    if student is None or teacher is None:
        return
    if not getattr(loss, 'needs_equal_shapes', isinstance(loss, _MMRAZORS_OF_EQUAL_SHAPES)):
        return
    levels = getattr(loss, 'levels', None)
    students, teachers = (_shapes(seen.value, levels) for seen in (student, teacher))
    # PKD resizes maps itself.
    compared = slice(1 if isinstance(loss, mmrazor_losses.PKDLoss) else None)
    if [shape[compared] for shape in students] == [shape[compared] for shape in teachers]:
        return
    if students and teachers:
        raise ValueError(
            f"{name}: expected equal shapes, got {', '.join(map(str, students))} of the student's "
            f"{student.name} and {', '.join(map(str, teachers))} of the teacher's {teacher.name}; "
            + _remedy(students, teachers)
        )


def _shapes(value: Any, levels: Sequence[int] | None) -> list[tuple[int, ...]]:
    """Shapes of the compared tensors without the batch; none if a level is missing."""
    tensors = tensors_of(value)
    if levels is not None and not isinstance(value, Tensor):
        tensors = [tensors[level] for level in levels] if max(levels) < len(tensors) else []
    return [tuple(tensor.shape[1:]) for tensor in tensors]


def _remedy(students: list[tuple[int, ...]], teachers: list[tuple[int, ...]]) -> str:
    if len(students) != len(teachers):
        return "choose levels by the loss's `levels`, or by a connector mmkd.SelectLevels"
    if any(s[1:] != t[1:] for s, t in zip(students, teachers, strict=True)):
        return 'add a connector mmkd.SelectLevels, which picks levels and pools them'
    connector = 'ProjectionMLP' if len(students[0]) == 1 else 'LevelwiseConv'
    return (
        'logits need a teacher of the same classes; for features add '
        f"student_connector=dict(type='mmkd.{connector}'), or compare samples, as mmkd.FKDLoss and "
        'mmkd.LCKALoss(inter_weight=0) do'
    )


def tensors_of(value: Any) -> list[Tensor]:
    """Tensors of rows, maps or tokens inside a nested output, in order."""
    leaves = pytree.tree_leaves(value)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.ndim > 1]
