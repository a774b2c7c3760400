"""Base of losses between the samples of a batch, and checks of their inputs."""

from torch import Tensor, nn

from mmkd.functional.checks import check_matrix, check_non_negative
from mmkd.functional.gather import gather_rows, mean_over_processes, sum_over_processes
from mmkd.functional.numerics import ScalarReduction


class RelationalLoss(nn.Module):
    """A weighted loss between the samples of a batch, or between their rows in two networks.

    Without samples, as for images without instances, the loss is 0 and still part of the graph.
    Processes may have different numbers of samples.

    Args:
        loss_weight: Factor of the loss.
        gather: In distributed training, compare the samples of all processes, with gradients. N
            processes with b samples each then equal one process with N b samples.

    Attributes:
        needs_equal_shapes: Whether both networks' rows must have the same width. The algorithm
            checks it before the first step.
    """

    needs_equal_shapes = False

    def __init__(self, loss_weight: float = 1.0, gather: bool = True) -> None:
        super().__init__()
        check_non_negative('loss_weight', loss_weight)
        self.loss_weight = loss_weight
        self.gather = gather

    def joined(self, x: Tensor) -> Tensor:
        """The rows of all processes with ``gather``, else ``x``."""
        return gather_rows(x) if self.gather else x

    def joined_value(self, value: Tensor, rows: int, reduction: ScalarReduction) -> Tensor:
        """Weight this process's mean or sum over ``rows`` rows.

        With ``gather``, the average over the processes is then the mean or sum over all rows.
        """
        if not self.gather:
            return value
        return (
            mean_over_processes(value, rows) if reduction == 'mean' else sum_over_processes(value)
        )


def check_rows(name: str, x: Tensor, like: Tensor | None = None) -> None:
    """Raise unless ``x`` is a Tensor (B, D), with as many rows as ``like`` if given.

    Raises:
        TypeError: If ``x`` is not a Tensor, for example because a recorded module returns a tuple.
        ValueError: If the shape is wrong.
    """
    if not isinstance(x, Tensor):
        raise TypeError(
            f'{name}: expected a Tensor (B, D), got {type(x).__name__}; choose an item of a '
            'recorded tuple by data_idx'
        )
    check_matrix(name, x, None if like is None else len(like))


def check_row_pair(student: Tensor, teacher: Tensor) -> None:
    """Raise, as ``check_rows`` does, unless both are Tensors (B, D) with the same B."""
    check_rows('student', student)
    check_rows('teacher', teacher, like=student)


def check_same_classes(student: Tensor, teacher: Tensor, hint: str) -> None:
    """Raise ValueError unless both networks' logits (B, C) have the same number of classes."""
    if student.shape[1] != teacher.shape[1]:
        raise ValueError(
            f"teacher: expected logits of the student's {student.shape[1]} classes, "
            f'got {teacher.shape[1]}; {hint}'
        )
