"""What losses between the samples of a batch share."""

from torch import Tensor, nn

from mmkd.functional.checks import check_non_negative
from mmkd.functional.gather import gather_rows, mean_over_processes


class RelationalLoss(nn.Module):
    """A weighted loss that compares what two networks say of each sample of a batch.

    It is 0, in the graph, where there are no samples, as of images without instances; processes
    may have different numbers of them.

    Args:
        loss_weight: Factor of the loss.
        gather: In distributed training, compare the samples of all processes, gradients
            included, so that N processes with b samples each are one with N b.

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
        """The rows of all processes if ``gather``, else ``x``."""
        return gather_rows(x) if self.gather else x

    def joined_mean(self, mean: Tensor, rows: int) -> Tensor:
        """A mean over own rows; if ``gather`` weighted by their share of those of all processes."""
        return mean_over_processes(mean, rows) if self.gather else mean


def check_rows(name: str, x: Tensor, like: Tensor | None = None) -> None:
    """Raise unless ``x`` is a Tensor (B, D), with as many rows as ``like``.

    Raises:
        TypeError: If it is no Tensor, as when a recorded module returns a tuple.
        ValueError: If it has another shape.
    """
    if not isinstance(x, Tensor):
        raise TypeError(
            f'{name}: expected a Tensor (B, D), got {type(x).__name__}; choose an item of a '
            'recorded tuple by data_idx'
        )
    rows = 'B' if like is None else like.shape[0]
    if x.ndim != 2 or (like is not None and x.shape[0] != like.shape[0]):
        raise ValueError(f'{name}: expected a shape ({rows}, D), got {tuple(x.shape)}')


def check_same_classes(student: Tensor, teacher: Tensor, hint: str) -> None:
    """Raise ValueError unless both networks' logits (B, C) have the same number of classes."""
    if student.shape[1] != teacher.shape[1]:
        raise ValueError(
            f"teacher: expected logits of the student's {student.shape[1]} classes, "
            f'got {teacher.shape[1]}; {hint}'
        )
