"""Another image size in the transforms of a config."""

from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

from mmengine.config import Config

from mmkd.pairing.inspection.image_size import (
    Transform,
    height_first,
    pipelines_of,
    sized,
    sizes_of,
)
from mmkd.pairing.inspection.model_kind import is_classifier
from mmkd.pairing.inspection.trace import Size
from mmkd.pairing.writing.config_text import Expression
from mmkd.pairing.writing.settings import Settings, merge, without_scope

SMALLEST, LARGEST = 8, 16384  # pixels; what is outside is a typo


def as_size(image_size: int | Sequence[int]) -> Size:
    """Return height and width of a size that the caller gave.

    Raises:
        ValueError: If it is neither a number of pixels nor a pair of them.
    """
    sides = [*image_size] if isinstance(image_size, Sequence) else [image_size] * 2
    if len(sides) != 2 or not all(isinstance(side, Integral) for side in sides):
        raise ValueError(
            f'image_size: expected a positive int or (height, width), got {image_size!r}'
        )
    if min(sides) < SMALLEST or max(sides) > LARGEST:
        raise ValueError(
            f'image_size: expected sides of {SMALLEST} to {LARGEST} pixels, got {image_size!r}'
        )
    return int(sides[0]), int(sides[1])


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
        for keys, pipeline in pipelines_of(cfg.get(f'{stage}_dataloader') or {}):
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


def _hooks(cfg: Config, size: Size) -> list[dict] | None:
    hooks = without_scope(cfg.get('custom_hooks') or [], cfg.get('default_scope'))
    switching = [hook for hook in hooks if hook.get('switch_pipeline')]
    for hook in switching:
        hook['switch_pipeline'] = _resized(cfg, hook['switch_pipeline'], size)
    return hooks if switching else None


def _resized(cfg: Config, pipeline: Sequence[Transform], size: Size) -> list[Transform]:
    resized: list[Transform] = without_scope([*pipeline], cfg.get('default_scope'))
    ends = [*sized(resized)]
    if not ends:
        return resized
    classifier = is_classifier(cfg)
    old = max(sizes_of(*ends[-1], classifier), key=lambda pair: pair[0] * pair[1])
    for transform, key in sized(resized, margins=True):
        transform[key] = _scaled(transform, key, old, size[::-1], classifier)
    return resized


def _scaled(
    transform: Transform, key: str, old: tuple[int, int], new: tuple[int, int], classifier: bool
) -> Any:
    value = transform[key]
    pairs = []
    for width, height in sizes_of(transform, key, classifier):
        frm, to = old, new
        if transform.get('keep_ratio') and (width < height) != (frm[0] < frm[1]):
            frm = frm[::-1]  # MMCV takes the longer side for the longer side
        if transform.get('keep_ratio') and width != height and (frm[0] < frm[1]) != (to[0] < to[1]):
            to = to[::-1]
        pair = round(width * to[0] / frm[0]), round(height * to[1] / frm[1])
        pairs.append(pair[::-1] if height_first(transform, classifier) else pair)
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
    both = zip(sized(old, margins=True), sized(new, margins=True), strict=True)
    for (before, key), (after, _) in both:
        if before[key] != after[key]:
            yield f'{before["type"]}.{key} {before[key]} -> {after[key]}'
