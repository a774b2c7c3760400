"""Features of the ground-truth instances of a batch."""

from collections.abc import Sequence

import torch
from mmrazor.models.task_modules.recorder import ModuleOutputsRecorder
from torch import Tensor

from mmkd.functional.checks import as_levels, check_positive, check_positive_int
from mmkd.recorders.instance_boxes import ground_truth_boxes, jittered
from mmkd.recorders.mean_roi_align import MeanRoIAlign
from mmkd.recorders.step_context import StepContext, labeled_step
from mmkd.registry import MODELS, TASK_UTILS

# The FPN pools boxes of up to twice this side, in cells of the finest level, from that level.
CELLS = 14


@TASK_UTILS.register_module()
class InstanceFeaturesRecorder(ModuleOutputsRecorder):
    """Features of a pyramid at the ground-truth boxes, one row for each instance.

    Configs call it ``type='mmkd.InstanceFeatures'``. Losses between samples then compare the
    objects of a batch, for any detector. RoIAlign pools each box from one level, which its size
    selects (Lin et al., "Feature Pyramid Networks for Object Detection", 2017, eq. 1,
    https://arxiv.org/abs/1612.03144). The two networks may differ in channels, levels and strides:
    each has a recorder of its own, and both see the same boxes. A recorder pools once a step,
    however many losses read it.

    Args:
        source: The module that returns the pyramid, usually ``'neck'``.
        strides: Pixels of the input per cell of each level, finest first. Levels beyond them are
            not used. Default: inferred when the distiller is built.
        output_size: Cells along a side of the pooled box.
        mean: Average the cells of a box, which leaves a vector of one entry a channel.
        num_views: Boxes for each instance: the ground truth first, then jittered copies. Rows are
            stacked view by view, as :class:`mmkd.DLKDCorrLoss` takes them.
        jitter: Largest shift of a jittered box, in widths and heights of the box, and largest
            change of the logarithm of its sides.
        finest_scale: The first level takes boxes whose side, the root of the area, is below twice
            this many pixels. Default: 14 of its strides, which is 56 for a stride of 4.
        num_levels: Use only this many of the finest levels. Default: all with a stride.

    Raises:
        ValueError: If an argument is out of its range.
    """

    reads_step = True

    def __init__(
        self,
        source: str,
        strides: Sequence[int] | None = None,
        output_size: int = 7,
        mean: bool = True,
        num_views: int = 1,
        jitter: float = 0.1,
        finest_scale: int | None = None,
        num_levels: int | None = None,
    ) -> None:
        super().__init__(source)
        check_positive_int('output_size', output_size)
        check_positive_int('num_views', num_views)
        if not 0 <= jitter < 0.5:
            raise ValueError(f'jitter: expected a number in [0, 0.5), got {jitter!r}')
        if finest_scale is not None:
            check_positive('finest_scale', finest_scale)
        if num_levels is not None:
            check_positive_int('num_levels', num_levels)
        self.output_size, self.mean = output_size, mean
        self.num_views, self.jitter = num_views, jitter
        self.finest_scale, self.num_levels = finest_scale, num_levels
        self.strides: tuple[int, ...] | None = None
        self._rows: Tensor | None = None
        if strides is not None:
            self.set_strides(strides)

    def set_strides(self, strides: Sequence[int]) -> None:
        """Set the strides of the levels, and build the extractor for them.

        Raises:
            ValueError: If they are not positive integers in ascending order.
        """
        strides = tuple(strides)[: self.num_levels]
        for stride in strides:
            check_positive_int('strides', stride)
        if not strides or tuple(sorted(set(strides))) != strides:
            raise ValueError(f'strides: expected at least one, ascending, got {strides!r}')
        self.strides = strides
        plain = dict(type='RoIAlign', output_size=self.output_size, sampling_ratio=0)
        self._extractor = MODELS.build(
            dict(
                type='mmdet.SingleRoIExtractor',
                roi_layer=dict(type=MeanRoIAlign, bins=self.output_size) if self.mean else plain,
                out_channels=1,  # set to those of the features when they are pooled
                featmap_strides=[*strides],
                finest_scale=self.finest_scale or CELLS * strides[0],
            )
        )

    def infer_strides(self, height: int) -> None:
        """Set the strides from the recorded maps of an image, unless they were given.

        Args:
            height: Of the image, in pixels.

        Raises:
            ValueError: If the strides of the recorded maps do not ascend.
        """
        if self.strides is None:
            levels = self._levels()[: self.num_levels]
            self.set_strides([round(height / level.shape[-2]) for level in levels])

    def get_record_data(self, record_idx: int = 0, data_idx: int | None = None) -> Tensor:
        """Return the rows of all views, or of one.

        Args:
            record_idx: 0; the rows belong to the first call of the module.
            data_idx: Index of the view; None returns all views.

        Returns:
            Shape (num_views * N, C) for the N instances of the batch, or (num_views * N, C,
            output_size, output_size) without ``mean``; in float32 (float64 for such features). N
            may be 0.

        Raises:
            TypeError: If the module returned neither a Tensor nor a sequence of Tensors.
            ValueError: If no step is open, an index is out of its range, or the module returned
                fewer levels than strides, or levels that differ in channels.
        """
        if record_idx != 0:
            raise ValueError(f'record_idx: expected 0, got {record_idx}')
        if data_idx is not None and not 0 <= data_idx < self.num_views:
            raise ValueError(f'data_idx: expected a view below {self.num_views}, got {data_idx}')
        if self._rows is None:
            self._rows = self._pool(labeled_step('InstanceFeatures'))
        if data_idx is None:
            return self._rows
        count = len(self._rows) // self.num_views
        return self._rows[data_idx * count : (data_idx + 1) * count]

    def reset_data_buffer(self) -> None:
        """Drop the recorded maps and the pooled rows."""
        super().reset_data_buffer()
        self._rows = None

    def _levels(self) -> tuple[Tensor, ...]:
        return as_levels('features', super().get_record_data())

    def _pool(self, step: StepContext) -> Tensor:
        if self.strides is None:
            raise ValueError('strides: expected the strides of the levels, got None')
        levels = self._levels()[: len(self.strides)]
        _check_levels(levels, self.strides)
        # RoIAlign takes boxes in the maps' type, and half precision cannot tell pixels apart.
        levels = tuple(x if x.dtype == torch.float64 else x.float() for x in levels)
        boxes = step.share(('boxes', self.num_views, self.jitter), lambda: self._boxes(step))
        self._extractor.out_channels = levels[0].shape[1]
        rows = self._extractor(levels, boxes.to(levels[0]))
        return rows.flatten(1) if self.mean else rows

    def _boxes(self, step: StepContext) -> Tensor:
        """Image index and corners of the boxes of all views, (num_views * N, 5)."""
        samples = step.data_samples or ()
        boxes = ground_truth_boxes(samples)
        generator = torch.Generator().manual_seed(step.seed or 0)
        sizes = [sample.img_shape for sample in samples]
        copies = [jittered(boxes, self.jitter, sizes, generator) for _ in range(self.num_views - 1)]
        return torch.cat([boxes, *copies])


def _check_levels(levels: Sequence[Tensor], strides: Sequence[int]) -> None:
    if len(levels) < len(strides):
        raise ValueError(f'features: expected levels of strides {[*strides]}, got {len(levels)}')
    channels = [level.shape[1] for level in levels]
    if len(set(channels)) > 1:
        raise ValueError(
            f'features: expected levels of the same channels, got {channels}; record the neck'
        )
