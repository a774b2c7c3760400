"""The image size at which two models are compared."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from mmkd.pairing.inspection.model_kind import is_classifier
from mmkd.pairing.inspection.trace import Size

# The settings of a transform that may hold the size of its result.
KEYS = ('crop_size', 'scale', 'scales')
# A multiple of the largest stride, 128, so that every level has a whole number of cells.
MULTIPLE, LARGEST = 128, 512
# The size of data sets in memory, which have no transforms.
SMALL_IMAGE = 32


def default_size(cfg: Config, size: Size | None = None) -> Size:
    """Return height and width of an image for a first pass through a model.

    A classifier keeps the size, because transformers accept no other (32 x 32 if no transform
    names one). A detector's size is rounded up to multiples of 128, at most 512, so that strides
    can be read off the maps.

    Args:
        cfg: Config of the model and its training.
        size: Height and width of the training images. Default: read from the config's transforms.
    """
    size = size or _last_size(cfg)
    if is_classifier(cfg):
        return size or (SMALL_IMAGE, SMALL_IMAGE)
    height, width = size or (LARGEST, LARGEST)
    return _rounded(height), _rounded(width)


def innermost_dataset(dataset: Mapping[str, Any]) -> tuple[list[str], Mapping[str, Any]]:
    """Return the keys to the innermost of wrapped data sets (repeated, mixed), and its config."""
    path = []
    while isinstance(dataset.get('dataset'), Mapping):
        path.append('dataset')
        dataset = dataset['dataset']
    return path, dataset


def _rounded(side: int) -> int:
    return min(-(-side // MULTIPLE) * MULTIPLE, LARGEST)


def _last_size(cfg: Config) -> Size | None:
    sizes = [size for transform in _transforms(cfg) for size in _sizes(transform)]
    return sizes[-1] if sizes else None


def _transforms(cfg: Config) -> Iterator[Mapping[str, Any]]:
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    path, innermost = innermost_dataset(dataset)
    yield from innermost.get('pipeline') or ()
    if path:  # a wrapper that mixes images has transforms of its own
        yield from dataset.get('pipeline') or ()


def _sizes(transform: Mapping[str, Any]) -> Iterator[Size]:
    """Height and width, wherever a transform names them; its pairs are (width, height)."""
    for key in KEYS:
        value = transform.get(key)
        if isinstance(value, Sequence) and value and isinstance(value[0], Sequence):
            value = value[0]  # one of several
        pair = (value, value) if isinstance(value, int) else value
        if isinstance(pair, Sequence) and [type(side) for side in pair] == [int, int]:
            yield pair[1], pair[0]
