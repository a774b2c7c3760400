"""Features of the ground-truth instances of a batch."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmkd.functional.checks import as_levels, check_positive, check_positive_int
from mmkd.recorders.instance_boxes import ground_truth_boxes, jittered
from mmkd.recorders.mean_roi_align import MeanRoIAlign
from mmkd.recorders.step_context import BatchConnector
from mmkd.registry import MODELS

# Boxes of up to twice this side, in cells of the finest level, are pooled from it, as in the FPN.
CELLS = 14


class Pooled(NamedTuple):
    """Instances pooled in this step."""

    recorded: tuple[Tensor, ...]  # held, so that no other map takes its identity
    how: tuple
    num_views: int
    rows: Tensor  # num_views * N


@MODELS.register_module()
class InstanceFeatures(BatchConnector):
    """Features of a pyramid at the ground-truth boxes, by RoIAlign: a row an instance.

    Losses between samples then compare the objects of a batch, for any detector. Each box is pooled
    from one level, chosen by its size (Lin et al., "Feature Pyramid Networks for Object Detection",
    2017, eq. 1). The networks may differ in channels, levels and strides; each has a connector with
    its own. Connectors of the same ``num_views`` and ``jitter`` look at the same boxes, and pool
    them once if they do it alike and one needs no more views than one before it.

    Args:
        strides: Pixels of the input for one cell of each level. Further recorded levels are not
            used.
        output_size: Cells along a side of the pooled box.
        mean: Average the cells of a box, so that a row is a vector of as many entries as channels.
        num_views: How many boxes to look at for each instance, the ground truth itself first. Rows
            are stacked view by view, as :class:`mmkd.DLKDCorrLoss` takes them.
        jitter: Largest shift of a further view, in widths and heights of the box, and largest
            change of the logarithm of its sides.
        finest_scale: Boxes whose side, the root of the area, is less than twice this many pixels
            are pooled from the first level. Defaults to 14 of its strides: 56 for a stride of 4.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        strides: Sequence[int],
        output_size: int = 7,
        mean: bool = True,
        num_views: int = 1,
        jitter: float = 0.1,
        finest_scale: int | None = None,
    ) -> None:
        super().__init__()
        _check_strides(strides)
        check_positive_int('output_size', output_size)
        check_positive_int('num_views', num_views)
        if not 0 <= jitter < 0.5:
            raise ValueError(f'jitter: expected a number in [0, 0.5), got {jitter!r}')
        if finest_scale is None:
            finest_scale = CELLS * strides[0]
        check_positive('finest_scale', finest_scale)
        self.mean, self.num_views, self.jitter = mean, num_views, jitter
        self._how = ((*strides,), output_size, mean, finest_scale, jitter)
        self.extractor = MODELS.build(
            dict(
                type='mmdet.SingleRoIExtractor',
                roi_layer=dict(type=MeanRoIAlign, bins=output_size)
                if mean
                else dict(type='RoIAlign', output_size=output_size, sampling_ratio=0),
                out_channels=1,  # those of the features, in the forward pass
                featmap_strides=[*strides],
                finest_scale=finest_scale,
            )
        )

    def forward(self, features: Tensor | Sequence[Tensor]) -> Tensor:
        """Pool the instances of the batch.

        Args:
            features: The levels of a pyramid, each (B, C, H, W), finest first; or a lone Tensor if
                there is one stride.

        Returns:
            Shape (num_views * N, C) for the N instances of the batch, or (num_views * N, C,
            output_size, output_size) without ``mean``; in float32 (float64 for such features). N
            may be 0.

        Raises:
            TypeError: If ``features`` is neither a Tensor nor a sequence of Tensors.
            ValueError: If there are fewer levels than strides, they differ in channels, or there is
                no batch with ground truth.
        """
        strides = self.extractor.featmap_strides
        levels = as_levels('features', features)[: len(strides)]
        _check_levels(levels, strides)
        rows = self._pooled_before(levels)
        if rows is None:
            rows = self._pool(levels)
            self.batch.shared.append(Pooled(levels, self._how, self.num_views, rows))
        return rows.flatten(1) if self.mean else rows

    def _pooled_before(self, levels: tuple[Tensor, ...]) -> Tensor | None:
        for pooled in self.batch.shared:
            if (
                pooled.how == self._how
                and pooled.num_views >= self.num_views
                and all(a is b for a, b in zip(pooled.recorded, levels, strict=True))
            ):
                return pooled.rows[: len(pooled.rows) // pooled.num_views * self.num_views]
        return None

    def _pool(self, levels: tuple[Tensor, ...]) -> Tensor:
        # RoIAlign takes boxes in the type of the maps, and half precision cannot tell pixels apart.
        levels = tuple(x if x.dtype == torch.float64 else x.float() for x in levels)
        self.extractor.out_channels = levels[0].shape[1]
        return self.extractor(levels, self._boxes().to(levels[0]))

    def _boxes(self) -> Tensor:
        """Image and corners of the boxes of all views, (num_views * N, 5)."""
        boxes = ground_truth_boxes(self.batch.data_samples)
        generator = torch.Generator().manual_seed(self.batch.seed)
        sizes = [sample.img_shape for sample in self.batch.data_samples]
        further = [
            jittered(boxes, self.jitter, sizes, generator) for _ in range(self.num_views - 1)
        ]
        return torch.cat([boxes, *further])


def _check_strides(strides: Sequence[int]) -> None:
    for stride in strides:
        check_positive_int('strides', stride)
    if not strides or sorted(set(strides)) != [*strides]:
        raise ValueError(f'strides: expected at least one, ascending, got {strides!r}')


def _check_levels(levels: Sequence[Tensor], strides: Sequence[int]) -> None:
    if len(levels) < len(strides):
        raise ValueError(f'features: expected levels of strides {strides}, got {len(levels)}')
    channels = [level.shape[1] for level in levels]
    if len(set(channels)) > 1:
        raise ValueError(
            f'features: expected levels of the same channels, got {channels}; record the neck'
        )
