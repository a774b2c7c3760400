"""The size of the images for a first look at a model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from mmkd.pairing.inspection.model_kind import is_classifier
from mmkd.pairing.inspection.trace import Size

# Transforms name the size of their result by one of these.
KEYS = ('crop_size', 'scale', 'scales')
# Levels of a pyramid have whole sizes on images of a multiple, up to the stride 128.
MULTIPLE, LARGEST = 128, 512
# Of data sets in memory, which have no transforms.
SMALL_IMAGE = 32


def default_size(cfg: Config) -> Size:
    """Height and width of images for a model, as its config trains on them.

    A classifier's are kept, as transformers take no others (32 x 32 if no transform tells). A
    detector's are rounded up to multiples of 128, at most 512, so that strides show.

    Args:
        cfg: Config of the model and its training.
    """
    size = _last_size(cfg)
    if is_classifier(cfg):
        return size or (SMALL_IMAGE, SMALL_IMAGE)
    height, width = size or (LARGEST, LARGEST)
    return _rounded(height), _rounded(width)


def innermost_dataset(dataset: Mapping[str, Any]) -> tuple[list[str], Mapping[str, Any]]:
    """Keys to the innermost of wrapped data sets in a config (repeated, mixed), and its config."""
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
    if path:  # what mixes images has transforms of its own
        yield from dataset.get('pipeline') or ()


def _sizes(transform: Mapping[str, Any]) -> Iterator[Size]:
    """Height and width, of those settings of a transform that are one; pairs are (w, h)."""
    for key in KEYS:
        value = transform.get(key)
        if isinstance(value, Sequence) and value and isinstance(value[0], Sequence):
            value = value[0]  # one of several
        pair = (value, value) if isinstance(value, int) else value
        if isinstance(pair, Sequence) and [type(side) for side in pair] == [int, int]:
            yield pair[1], pair[0]
