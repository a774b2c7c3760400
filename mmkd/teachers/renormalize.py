"""Convert batches from the student's normalization to the teacher's."""

from collections.abc import Sequence

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn


def _statistics(preprocessor: nn.Module | None) -> tuple[Tensor, Tensor, bool, float]:
    """Return a preprocessor's mean (C,), std (C,), whether it swaps channels, and padding value."""
    swapped = bool(
        getattr(preprocessor, '_channel_conversion', False)
        or getattr(preprocessor, 'to_rgb', False)
    )
    padding = float(getattr(preprocessor, 'pad_value', 0) or 0)
    if preprocessor is None or not getattr(preprocessor, '_enable_normalize', False):
        return torch.zeros(3), torch.ones(3), swapped, padding
    mean, std = (preprocessor.get_buffer(k).flatten().float().cpu() for k in ('mean', 'std'))
    return mean.expand(3), std.expand(3), swapped, padding


class Renormalize:
    """Undo one data preprocessor's normalization and apply another's, channel by channel.

    This works on the finished batch, so both models see the same augmentation, mixing and padding.

    Args:
        student: The preprocessor that made the batch.
        teacher: The preprocessor that the teacher was trained with.
    """

    def __init__(self, student: nn.Module | None, teacher: nn.Module | None) -> None:
        mean_s, std_s, swapped_s, pad_s = _statistics(student)
        mean_t, std_t, swapped_t, pad_t = _statistics(teacher)
        self.swap = swapped_s != swapped_t
        if self.swap:
            mean_s, std_s = mean_s.flip(0), std_s.flip(0)
        self.scale = (std_s / std_t).view(3, 1, 1)
        self.shift = ((mean_s - mean_t) / std_t).view(3, 1, 1)
        self.padding = pad_t
        same_values = torch.equal(mean_s, mean_t) and torch.equal(std_s, std_t)
        self.is_identity = same_values and not self.swap and pad_s == pad_t

    def __call__(
        self, inputs: Tensor, data_samples: Sequence[BaseDataElement] | None = None
    ) -> Tensor:
        """Convert a batch.

        Args:
            inputs: (B, 3, H, W), made by the student's preprocessor.
            data_samples: Their ``img_shape`` separates the image from its padding. Padding gets
                the teacher's padding value. Without samples, everything counts as image.

        Returns:
            (B, 3, H, W). If both preprocessors agree, this is the same tensor.

        Raises:
            ValueError: If the images do not have three channels.
        """
        if self.is_identity:
            return inputs
        if inputs.dim() != 4 or inputs.size(1) != 3:
            raise ValueError(
                f'teacher: expected images (B, 3, H, W), got {tuple(inputs.shape)}; they are '
                'renormalized, because student and teacher have different data preprocessors'
            )
        images = inputs.flip(1) if self.swap else inputs
        scale, shift = (t.to(inputs.device, inputs.dtype) for t in (self.scale, self.shift))
        images = images * scale + shift
        for image, sample in zip(images, data_samples or (), strict=False):
            height, width = sample.metainfo.get('img_shape', image.shape[-2:])[:2]
            image[:, height:] = self.padding
            image[:, :, width:] = self.padding
        return images
