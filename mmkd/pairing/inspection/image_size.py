"""The image sizes that a config's transforms name."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from mmkd.pairing.inspection.model_kind import is_classifier
from mmkd.pairing.inspection.trace import Size

Transform = dict[str, Any]
# The settings of a transform that hold a size: of its result, of its parts, or of its margin.
KEYS = ('scale', 'scales', 'img_scale', 'crop_size', 'size', 'border')
# MMPretrain's transforms that name the height first; all others name the width first.
HEIGHT_FIRST = ('RandomCrop', 'RandomResizedCrop')
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
    size = size or image_size(cfg)
    if is_classifier(cfg):
        return size or (SMALL_IMAGE, SMALL_IMAGE)
    height, width = (
        min(-(-side // MULTIPLE) * MULTIPLE, LARGEST) for side in size or [LARGEST] * 2
    )
    return height, width


def image_size(cfg: Config) -> Size | None:
    """Return height and width of the images that a model trains on, the first of several sizes.

    Without a size in the training's transforms, those of validation and test are read. None if no
    transform names one.

    Args:
        cfg: Config of the model and its training.
    """
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        pipelines = [of for _, of in pipelines_of(cfg.get(loader) or {})]
        sizes = [
            sizes_of(transform, key, is_classifier(cfg))[0]
            for pipeline in reversed(pipelines)  # a wrapper that mixes images comes last
            for transform, key in sized(pipeline)
        ]
        if sizes:
            width, height = sizes[-1]
            return height, width
    return None


def padded_size(cfg: Config) -> Size | None:
    """Return the size of the images with the padding of a batch; at most 512, else None.

    Args:
        cfg: Config of the model and its training.
    """
    size = image_size(cfg)
    if size is None or max(size) > LARGEST:
        return None
    preprocessor = cfg.model.get('data_preprocessor') or {}
    divisor = preprocessor.get('pad_size_divisor') or 1
    height, width = (-(-side // divisor) * divisor for side in size)
    return height, width


def pipelines_of(loader: Mapping[str, Any]) -> Iterator[tuple[list[str], Sequence[Transform]]]:
    """Yield keys and transforms of each data set that wraps another, and of the innermost."""
    keys: list[str] = []
    while isinstance(loader.get('dataset'), Mapping):
        loader, keys = loader['dataset'], [*keys, 'dataset']
        if loader.get('pipeline'):
            yield keys, loader['pipeline']


def sized(pipeline: Any, *, margins: bool = False) -> Iterator[tuple[Any, str]]:
    """Yield each transform and key that hold a size, in nested transforms (RandomChoice), too."""
    for item in pipeline:
        if isinstance(item, Mapping):
            if not str(item.get('crop_type', '')).startswith('relative'):
                keys = (key for key in KEYS if margins or key != 'border')
                yield from ((item, key) for key in keys if _is_size(item.get(key)))
            nested = (value for value in item.values() if isinstance(value, list | tuple))
            yield from sized(nested, margins=margins)
        elif isinstance(item, list | tuple):
            yield from sized(item, margins=margins)


def height_first(transform: Transform, classifier: bool) -> bool:
    """Whether a transform names the height before the width."""
    return classifier and transform['type'].split('.')[-1] in HEIGHT_FIRST


def sizes_of(transform: Transform, key: str, classifier: bool) -> list[tuple[int, int]]:
    """Return the sizes under a key of a transform as (width, height)."""
    value = transform[key]
    several = isinstance(value, list | tuple) and (
        key == 'scales' or isinstance(value[0], list | tuple)
    )
    pairs = [
        (each, each) if isinstance(each, int) else tuple(each)
        for each in (value if several else [value])
    ]
    return [pair[::-1] if height_first(transform, classifier) else pair for pair in pairs]


def _is_size(value: Any) -> bool:
    """Whether this is a whole number, a pair of them, or several such pairs."""
    if isinstance(value, list | tuple):
        return bool(value) and all(map(_is_size, value))
    return isinstance(value, int) and not isinstance(value, bool)
