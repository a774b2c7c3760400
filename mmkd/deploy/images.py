"""Images of a config's data in the form that an exported model takes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from torch import Tensor

from mmkd.deploy.graph import InputKind
from mmkd.registry import DATASETS


@dataclass(frozen=True)
class InputFormat:
    """What an exported model takes, and how the data of its config become that.

    Attributes:
        size: Height and width.
        channels: 3, or 1 for gray images.
        kind: ``'uint8'`` or ``'float32'``: pixels of 0 to 255, as RGB. ``'normalized'``: what the
            network itself takes.
        rgb: The data pipeline gives RGB, not BGR.
        swap: The network takes BGR.
        mean: Of the normalization, in the network's channel order.
        std: Of the normalization.
        fill: Pixel, as RGB, for the rest of a smaller image.
    """

    size: tuple[int, int]
    channels: int
    kind: InputKind
    rgb: bool
    swap: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fill: tuple[int, ...]

    def padded(self, image: Tensor) -> Tensor:
        """Fill an image (C, h, w) of the pipeline to the size, right and below.

        Raises:
            ValueError: If it is larger.
        """
        height, width = self.size
        if image.shape[1] > height or image.shape[2] > width:
            raise ValueError(
                f'size: expected images of at most {height} x {width}, which the model was '
                f'exported for, got {image.shape[1]} x {image.shape[2]}; export with a larger size'
            )
        fill = self.fill if self.rgb else self.fill[::-1]
        canvas = image.new_tensor(fill)[:, None, None].repeat(1, height, width)
        canvas[:, : image.shape[1], : image.shape[2]] = image
        return canvas

    def batch(self, images: Sequence[Tensor]) -> np.ndarray:
        """Return padded images of the pipeline as the input of the exported model."""
        batch = torch.stack([*images])
        if not self.rgb:
            batch = batch.flip(1)
        if self.kind == 'normalized':
            batch = (batch.flip(1) if self.swap else batch).float()
            mean, std = (torch.tensor(v)[:, None, None] for v in (self.mean, self.std))
            batch = (batch - mean) / std
        dtype = torch.uint8 if self.kind == 'uint8' else torch.float32
        return batch.to(dtype).contiguous().numpy()

    def as_info(self) -> dict[str, Any]:
        """Return plain data, from which the format can be made again."""
        return asdict(self)


def validation_images(cfg: Config, number: int) -> list[dict[str, Any]]:
    """Return the first samples of the validation data, as the pipeline makes them.

    Raises:
        ValueError: If the config has no validation data.
    """
    dataset_config = _dataset(cfg)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        dataset = DATASETS.build(dataset_config)
        samples = [dataset[index] for index in islice(range(len(dataset)), number)]
    if not samples:
        raise ValueError('val_dataloader: expected at least one image, got none')
    return samples


def input_format(
    cfg: Config,
    model: BaseModel,
    samples: Sequence[dict[str, Any]],
    size: Sequence[int] | None = None,
    kind: InputKind = 'uint8',
) -> InputFormat:
    """Return the format for a model and its data.

    Args:
        cfg: Its config.
        model: The model.
        samples: Of :func:`validation_images`.
        size: Height and width. Default: what holds every image that the pipeline makes.
        kind: What the exported model takes.

    Raises:
        ValueError: If the size is no multiple of what the model needs.
    """
    preprocessor: Any = model.data_preprocessor
    divisor = getattr(preprocessor, 'pad_size_divisor', 1)
    channels = samples[0]['inputs'].shape[0]
    if size is None:
        size = [-(-side // divisor) * divisor for side in _sides(cfg, samples)]
    if len(size) != 2 or any(side <= 0 or side % divisor for side in size):
        raise ValueError(
            f'size: expected height and width in multiples of {divisor}, got {[*size]}'
        )
    mean, std = (0.0,) * channels, (1.0,) * channels
    if getattr(preprocessor, '_enable_normalize', False):
        mean, std = (
            tuple(values.flatten().expand(channels).tolist())
            for values in (preprocessor.mean, preprocessor.std)
        )
    rgb = channels != 3 or _gives_rgb(cfg)
    reverses = getattr(preprocessor, '_channel_conversion', getattr(preprocessor, 'to_rgb', False))
    swap = channels == 3 and rgb == bool(reverses)
    # The preprocessor pads after the normalization, mostly with zeros.
    pad = getattr(preprocessor, 'pad_value', 0)
    fill = [round(min(max(m + s * pad, 0), 255)) for m, s in zip(mean, std, strict=True)]
    fill = fill[::-1] if swap else fill
    return InputFormat((size[0], size[1]), channels, kind, rgb, swap, mean, std, tuple(fill))


def _dataset(cfg: Config) -> dict[str, Any]:
    loader = cfg.get('val_dataloader') or cfg.get('test_dataloader')
    if not loader or not loader.get('dataset'):
        raise ValueError(
            'config: expected a val_dataloader, whose images prove an exported model, got none'
        )
    return loader['dataset']


def _sides(cfg: Config, samples: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """Height and width that hold every image of the pipeline, whichever way it is turned."""
    pipeline = _pipeline(cfg)
    padded = any('Pad' in str(step.get('type')) for step in pipeline)
    for step in [] if padded else reversed(pipeline):
        if str(step.get('type')).endswith('Resize') and step.get('keep_ratio'):
            scale = step.get('scale')
            if isinstance(scale, list | tuple):
                return max(scale), max(scale)
    heights, widths = zip(*(sample['inputs'].shape[1:] for sample in samples), strict=True)
    return max(heights), max(widths)


def _pipeline(cfg: Config) -> list[dict[str, Any]]:
    dataset = _dataset(cfg)
    while 'pipeline' not in dataset and isinstance(dataset.get('dataset'), dict):
        dataset = dataset['dataset']
    return [step for step in dataset.get('pipeline') or [] if isinstance(step, dict)]


def _gives_rgb(cfg: Config) -> bool:
    for step in _pipeline(cfg):
        if 'LoadImage' in str(step.get('type')):
            return step.get('channel_order', 'bgr') == 'rgb'
    return True  # images in memory
