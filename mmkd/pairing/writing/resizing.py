"""Another image size in the transforms of a config."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from mmkd.pairing.inspection.model_kind import is_classifier
from mmkd.pairing.inspection.trace import Size
from mmkd.pairing.writing.config_text import Expression
from mmkd.pairing.writing.settings import Settings, merge, without_scope

# The settings of a transform that hold a size: of its result, of its parts, or of its margin.
KEYS = ('scale', 'scales', 'img_scale', 'crop_size', 'size', 'border')
# MMPretrain's transforms that name the height first; all others name the width first.
HEIGHT_FIRST = ('RandomCrop', 'RandomResizedCrop')
Transform = dict[str, Any]


def as_size(image_size: int | Sequence[int]) -> Size:
    """Return height and width of a size that the caller gave.

    Raises:
        ValueError: If it is neither a positive int nor a pair of them.
    """
    sides = [*image_size] if isinstance(image_size, Sequence) else [image_size] * 2
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError(
            f'image_size: expected a positive int or (height, width), got {image_size!r}'
        )
    return sides[0], sides[1]


def size_settings(cfg: Config, size: Size) -> tuple[Settings, list[dict] | None, list[str]]:
    """Return settings that train and evaluate on images of another size.

    The size at the end of a pipeline becomes the new one. The other sizes of the pipeline (of
    mosaics, of a resize before a crop) keep their ratio to it. Transforms that keep the aspect
    ratio still do: their images fit into the new size.

    Args:
        cfg: Config of the student's training.
        size: Height and width.

    Returns:
        The settings, the custom hooks if one of them switches to a pipeline that was changed, and
        the changes as text.

    Raises:
        ValueError: If no transform of the training names a size.
    """
    settings: Settings = {}
    changes: list[str] = []
    for stage in ('train', 'val', 'test'):
        for keys, pipeline in _pipelines(cfg.get(f'{stage}_dataloader') or {}):
            resized = _resized(cfg, pipeline, size)
            if resized == without_scope(pipeline, cfg.get('default_scope')):
                continue
            name = f'{stage}_pipeline' if f'{stage}_pipeline' not in settings else f'{stage}_images'
            if stage == 'test' and resized == settings.get('val_pipeline'):
                name = 'val_pipeline'
            else:
                settings[name] = resized
                changes += [f'{stage}: {text}' for text in _differences(pipeline, resized)]
            value: Any = Expression(name)
            for key in reversed((f'{stage}_dataloader', *keys, 'pipeline')):
                value = {key: value}
            merge(settings, value)
    if 'train_pipeline' not in settings:
        raise ValueError(
            'image_size: expected a training pipeline with a transform that names a size '
            "(Resize, RandomCrop, ...), found none; set the size in the student's config"
        )
    return settings, _hooks(cfg, size), changes


def _pipelines(loader: Mapping[str, Any]) -> Iterator[tuple[list[str], Sequence[Transform]]]:
    """Keys and transforms of each data set that wraps another, and of the innermost."""
    keys: list[str] = []
    while isinstance(loader.get('dataset'), Mapping):
        loader = loader['dataset']
        keys = [*keys, 'dataset']
        if loader.get('pipeline'):
            yield keys, loader['pipeline']


def _hooks(cfg: Config, size: Size) -> list[dict] | None:
    hooks = without_scope(cfg.get('custom_hooks') or [], cfg.get('default_scope'))
    switching = [hook for hook in hooks if hook.get('switch_pipeline')]
    for hook in switching:
        hook['switch_pipeline'] = _resized(cfg, hook['switch_pipeline'], size)
    return hooks if switching else None


def _resized(cfg: Config, pipeline: Sequence[Transform], size: Size) -> list[Transform]:
    resized: list[Transform] = without_scope([*pipeline], cfg.get('default_scope'))
    found = [(transform, key) for transform in _flat(resized) for key in _size_keys(transform)]
    ends = [(transform, key) for transform, key in found if key != 'border']
    if not ends:
        return resized
    classifier = is_classifier(cfg)
    old = max(_pairs(*ends[-1], classifier=classifier), key=lambda pair: pair[0] * pair[1])
    for transform, key in found:
        transform[key] = _scaled(transform, key, old, size[::-1], classifier)
    return resized


def _flat(pipeline: Any) -> Iterator[Any]:
    """All transforms, those inside of others (RandomChoice, MultiBranch) too."""
    for item in pipeline:
        if isinstance(item, Mapping):
            yield item
            for inner in item.values():
                if isinstance(inner, list | tuple):
                    yield from _flat(inner)
        elif isinstance(item, list | tuple):
            yield from _flat(item)


def _size_keys(transform: Transform) -> list[str]:
    relative = str(transform.get('crop_type', '')).startswith('relative')
    return [key for key in KEYS if not relative and _is_size(transform.get(key))]


def _is_size(value: Any) -> bool:
    """Whether this is a whole number, a pair of them, or several such pairs."""
    if isinstance(value, list | tuple):
        return bool(value) and all(map(_is_size, value))
    return isinstance(value, int) and not isinstance(value, bool)


def _height_first(transform: Transform, classifier: bool) -> bool:
    return classifier and transform['type'].split('.')[-1] in HEIGHT_FIRST


def _pairs(transform: Transform, key: str, *, classifier: bool) -> list[tuple[int, int]]:
    """The sizes of a transform as (width, height)."""
    value = transform[key]
    several = isinstance(value, list | tuple) and (
        key == 'scales' or isinstance(value[0], list | tuple)
    )
    pairs = [
        (each, each) if isinstance(each, int) else tuple(each)
        for each in (value if several else [value])
    ]
    return [pair[::-1] if _height_first(transform, classifier) else pair for pair in pairs]


def _scaled(
    transform: Transform, key: str, old: tuple[int, int], new: tuple[int, int], classifier: bool
) -> Any:
    value = transform[key]
    pairs = []
    for width, height in _pairs(transform, key, classifier=classifier):
        frm, to = old, new
        if transform.get('keep_ratio') and (width < height) != (frm[0] < frm[1]):
            frm = frm[::-1]  # MMCV takes the longer side for the longer side
        if transform.get('keep_ratio') and width != height and (frm[0] < frm[1]) != (to[0] < to[1]):
            to = to[::-1]
        pair = round(width * to[0] / frm[0]), round(height * to[1] / frm[1])
        pairs.append(pair[::-1] if _height_first(transform, classifier) else pair)
    if isinstance(value, int):
        # An edge has one length, so a size that is not square sets its shorter side.
        square = pairs[0][0] == pairs[0][1]
        return min(pairs[0]) if square or 'edge' in transform else pairs[0]
    if key == 'scales' and isinstance(value[0], int):
        return [pair[0] for pair in pairs]
    if isinstance(value[0], list | tuple):
        return [*dict.fromkeys(pairs)]
    return pairs[0]


def _differences(old: Sequence[Transform], new: Sequence[Transform]) -> Iterator[str]:
    for before, after in zip(_flat(old), _flat(new), strict=True):
        for key in _size_keys(before):
            if before[key] != after[key]:
                yield f'{before["type"]}.{key} {before[key]} -> {after[key]}'
