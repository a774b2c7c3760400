"""Some of the classes of a dense head."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmkd.functional.checks import as_levels, check_positive_int
from mmkd.registry import MODELS


@MODELS.register_module()
class SelectClasses(nn.Module):
    """Pick classes of class logits, for a teacher that knows more classes than the student.

    It has no weights. A loss on logits then compares the student with the teacher's logits of the
    student's classes, in the student's order.

    Args:
        labels: The labels to keep, in the order wanted.
        num_classes: Number of classes of the head, for each anchor of a location.

    Raises:
        ValueError: If a label is out of range, or there is none.

    Example:
        >>> import torch
        >>> logits = torch.arange(6.0).view(1, 6, 1, 1)  # two anchors of three classes
        >>> SelectClasses((2, 0), num_classes=3)(logits)[0].flatten()
        tensor([2., 0., 5., 3.])
    """

    def __init__(self, labels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        check_positive_int('num_classes', num_classes)
        self.labels, self.num_classes = tuple(labels), num_classes
        if not self.labels or not all(0 <= label < num_classes for label in self.labels):
            raise ValueError(f'labels: expected some of 0 to {num_classes - 1}, got {self.labels}')

    def forward(self, logits: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The chosen classes.

        Args:
            logits: One Tensor (B, A * num_classes, H, W) per level, or a lone Tensor.

        Returns:
            One Tensor (B, A * len(labels), H, W) per level.

        Raises:
            TypeError: If ``logits`` is neither a Tensor nor a sequence of Tensors.
            ValueError: If the channels are no multiple of the classes.
        """
        return tuple(self._select(level) for level in as_levels('logits', logits))

    def _select(self, level: Tensor) -> Tensor:
        if level.shape[1] % self.num_classes:
            raise ValueError(
                f'logits: expected a multiple of {self.num_classes} channels, got '
                f'{tuple(level.shape)}'
            )
        anchors = level.unflatten(1, (-1, self.num_classes))
        return anchors[:, :, list(self.labels)].flatten(1, 2)
