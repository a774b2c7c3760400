"""The mean of RoIAlign over a box, computed without bins."""

import torch
from torch import Tensor, nn


class MeanRoIAlign(nn.Module):
    """Mean over the bins of RoIAlign (aligned, with its adaptive number of samples).

    This is the mean of bilinear samples on a regular grid in the box. It is separable: the map
    times a weight for each row and a weight for each column. On a CPU it takes a fraction of
    RoIAlign's time, above all in the backward pass. It works as a RoI layer of MMDetection's
    extractors.

    Args:
        spatial_scale: Cells of the map for one pixel of the boxes.
        bins: RoIAlign's ``output_size``, on which the number of samples depends.
    """

    output_size = (1, 1)

    def __init__(self, spatial_scale: float, bins: int) -> None:
        super().__init__()
        self.spatial_scale, self.bins = spatial_scale, bins

    def forward(self, feature: Tensor, rois: Tensor) -> Tensor:
        """Mean of each box.

        Args:
            feature: Shape (B, C, H, W).
            rois: Image and corners x1, y1, x2, y2 in pixels, shape (R, 5).

        Returns:
            Shape (R, C, 1, 1); 0 for boxes without an area. A NaN anywhere in a map reaches all
            boxes of its image. Autocast is off inside.
        """
        with torch.autocast(feature.device.type, enabled=False):
            return self._means(feature, rois)[..., None, None]

    def _means(self, feature: Tensor, rois: Tensor) -> Tensor:
        image = rois[:, 0].long()
        x1, y1, x2, y2 = (rois[:, 1:] * self.spatial_scale - 0.5).unbind(1)
        down, across = (_samples(*ends, self.bins) for ends in ((y1, y2), (x1, x2)))
        of_images = image[:, None] == torch.arange(len(feature), device=image.device)
        # Together: on a GPU, each reading of values waits for all earlier work.
        most = torch.stack([down.max(), across.max()]).long()
        most_down, most_across, *counts = torch.cat([most, of_images.sum(0)]).tolist()
        rows = _axis_weights(y1, y2, feature.shape[2], down, most_down)
        columns = _axis_weights(x1, x2, feature.shape[3], across, most_across)
        order = image.argsort(stable=True)
        weights = (rows[:, :, None] * columns[:, None]).flatten(1).index_select(0, order)
        parts = zip(weights.split(counts), feature.flatten(2).unbind(), strict=True)
        means = torch.cat([of_image @ cells.mT for of_image, cells in parts])
        return means.index_select(0, order.argsort())


def _samples(low: Tensor, high: Tensor, bins: int) -> Tensor:
    """Number of samples from ``low`` to ``high``, (R,)."""
    return bins * ((high - low) / bins).ceil().clamp(min=0)


def _axis_weights(low: Tensor, high: Tensor, cells: int, samples: Tensor, most: int) -> Tensor:
    """Weight of each cell of an axis in the mean from ``low`` to ``high``, (R, cells).

    ``most`` is the largest number of samples.
    """
    number = torch.arange(most, device=low.device)
    step = (high - low) / samples.clamp(min=1)
    place = low[:, None] + (number + 0.5) * step[:, None]
    used = ((number < samples[:, None]) & (place >= -1) & (place <= cells)).to(place)
    place = place.clamp(0, cells - 1)
    before = place.floor()
    share = (place - before) * used
    first, second = before.long(), (before + 1).clamp(max=cells - 1).long()
    weights = low.new_zeros(len(low), cells).scatter_add_(1, first, used - share)
    return weights.scatter_add_(1, second, share) / samples.clamp(min=1)[:, None]
