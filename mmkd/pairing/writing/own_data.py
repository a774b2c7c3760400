"""Your own data in place of a config's data set."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.fileio import load

from mmkd.pairing.inspection.model_kind import has_masks, is_classifier
from mmkd.pairing.writing.config_text import Expression
from mmkd.pairing.writing.settings import Settings

# A folder, or for each split an annotation file and its images (a folder of classes).
Data = str | os.PathLike | Mapping[str, Any]

# Below these keys of a model, num_classes counts something else: objectness, other labels.
OTHER_HEADS = ('rpn_head', 'semantic_head')
# MMDetection's configs leave out training images without objects, and tiny ones.
FILTER = dict(filter_empty_gt=True, min_size=32)
# Where the annotations and images of a split may be.
ANNOTATIONS = (
    '{}.json',
    'annotations/{}.json',
    'annotations/instances_{}.json',
    'annotations/instances_{}2017.json',
    '{}/_annotations.coco.json',
)
IMAGES = ('{}', '{}2017', 'images/{}', 'images', '.')
SPLITS = dict(train=('train',), val=('val', 'valid'))


def data_settings(cfg: Config, data: Data) -> tuple[Settings, list[str]]:
    """Return settings that put your data in place of a config's, and the names of the classes.

    The config keeps its transforms, and evaluates on the validation data for ``test``, too. Without
    validation data it does not evaluate.

    Args:
        cfg: Config of the student's training.
        data: For detectors a folder with COCO annotations (``train.json`` and ``val.json``, images
            in ``train/`` and ``val/``; or ``annotations/`` beside the images), or
            ``dict(train=(annotations, images), val=(annotations, images))``. For classifiers a
            folder with ``train/CLASS/...`` and ``val/CLASS/...``, or ``dict(train=folder,
            val=folder)``. ``val`` may be missing.

    Raises:
        FileNotFoundError: If a file or folder is missing.
        ValueError: If there are no classes, those of the splits differ, or the config's data set
            cannot be replaced.
    """
    make = _class_folders if is_classifier(cfg) else _coco
    splits = _given(data) if isinstance(data, Mapping) else _found(cfg, Path(data))
    classes, dataset = make('train', splits['train'])
    settings = _loader(cfg, 'train', dataset)
    if 'val' not in splits:
        stages = ('val', 'test')
        parts = ('dataloader', 'cfg', 'evaluator')
        return settings | {f'{s}_{part}': None for s in stages for part in parts}, classes
    val_classes, dataset = make('val', splits['val'])
    if is_classifier(cfg) and val_classes != classes:
        raise ValueError(
            f'data: expected the same class folders in train and val, got {classes} and '
            f'{val_classes}'
        )
    if missing := [name for name in classes if name not in val_classes]:
        raise ValueError(
            f'data: expected the categories of the training in {splits["val"][0]}, it lacks '
            f'{missing}'
        )
    dataset['metainfo'] = dict(classes=tuple(classes))
    settings |= _loader(cfg, 'val', dataset)
    # MMEngine accepts `_delete_` only where there is something to delete.
    old = {} if cfg.get('val_evaluator') is None else dict(_delete_=True)
    settings['val_evaluator'] = old | _evaluator(cfg, dataset, len(classes))
    settings |= {f'test_{p}': Expression(f'val_{p}') for p in ('dataloader', 'evaluator')}
    if 'num_classes' in (cfg.get('data_preprocessor') or {}):
        settings['data_preprocessor'] = dict(num_classes=len(classes))
    return settings, classes


def class_overrides(model: Any, num_classes: int) -> Settings:
    """Return what to merge into a model's config so that its heads know other classes.

    Items of lists are named by their positions.

    Example:
        >>> heads = [dict(type='Shared2FCBBoxHead', num_classes=80)] * 2
        >>> class_overrides(dict(roi_head=dict(bbox_head=heads), rpn_head=dict(num_classes=1)), 3)
        {'roi_head': {'bbox_head': {'0': {'num_classes': 3}, '1': {'num_classes': 3}}}}
    """
    parts = {
        key: part
        for key, part in model.items()
        if key.endswith('head') or key == 'data_preprocessor'
    }
    return _class_counts(parts, num_classes)


def _class_counts(config: Any, num_classes: int) -> Settings:
    """The dicts and lists that lead to each ``num_classes``."""
    if isinstance(config, list | tuple):
        config = {str(position): item for position, item in enumerate(config)}
    if not isinstance(config, Mapping):
        return {}
    found: Settings = {}
    for key, value in config.items():
        if key == 'num_classes' and isinstance(value, int):
            found[key] = num_classes
        elif key not in OTHER_HEADS and (below := _class_counts(value, num_classes)):
            found[key] = below
    return found


def _given(data: Mapping[str, Any]) -> dict[str, Any]:
    """The splits that the caller named."""
    if 'train' not in data or set(data) - set(SPLITS):
        raise ValueError(f"data: expected the keys 'train' and perhaps 'val', got {[*data]}")
    return {split: value for split, value in data.items() if value is not None}


def _found(cfg: Config, root: Path) -> dict[str, Any]:
    """The splits that are in a folder."""
    if not root.is_dir():
        raise FileNotFoundError(f'data: no such folder: {root}')
    look: Callable = _folder_of_classes if is_classifier(cfg) else _annotated
    found = {split: look(root, names) for split, names in SPLITS.items()}
    if found['train'] is None:
        wanted = 'train/CLASS/...' if is_classifier(cfg) else 'one of ' + ', '.join(ANNOTATIONS)
        raise FileNotFoundError(
            f'data: expected training data in {root}: {wanted.format(*["train"] * 9)}; got '
            f'{sorted(path.name for path in root.iterdir())[:10]}'
        )
    return {split: value for split, value in found.items() if value is not None}


def _folder_of_classes(root: Path, names: Sequence[str]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _annotated(root: Path, names: Sequence[str]) -> tuple[Path, Path] | None:
    """An annotation file and the folder that holds its first image."""
    for name in names:
        files = [root / pattern.format(name) for pattern in ANNOTATIONS]
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            continue
        images = load(str(file)).get('images') or [dict(file_name='')]
        folders = [root / pattern.format(name) for pattern in IMAGES]
        for folder in folders:
            if (folder / images[0]['file_name']).exists():
                return file, folder
        raise FileNotFoundError(
            f'data: expected {images[0]["file_name"]!r}, the first image of {file}, in one of '
            f'{[str(folder) for folder in folders]}; name the folder: '
            "data=dict(train=('annotations.json', 'images/'))"
        )
    return None


def _coco(split: str, given: Any) -> tuple[list[str], Settings]:
    """The categories of annotations, and the data set."""
    if isinstance(given, str | os.PathLike) or len(given) != 2:
        raise ValueError(
            f'data[{split!r}]: expected (annotation file, folder of images) for a detector, got '
            f'{given!r}'
        )
    ann_file, images = map(Path, given)
    if not ann_file.is_file():
        raise FileNotFoundError(f'data[{split!r}]: no such file: {ann_file}')
    if not images.is_dir():
        raise FileNotFoundError(f'data[{split!r}]: no such folder: {images}')
    content = load(str(ann_file), file_format='json')
    categories = content.get('categories') if isinstance(content, Mapping) else None
    if not categories:
        raise ValueError(
            f'data[{split!r}]: expected COCO annotations with `categories` in {ann_file}'
        )
    classes = [category['name'] for category in categories]
    return classes, dict(
        type='CocoDataset',
        ann_file=str(ann_file.resolve()),
        data_prefix=dict(img=f'{images.resolve()}/'),
        metainfo=dict(classes=tuple(classes)),
        **(dict(filter_cfg=FILTER) if split == 'train' else dict(test_mode=True)),
    )


def _class_folders(split: str, given: Any) -> tuple[list[str], Settings]:
    """The names of the folders of classes, and the data set."""
    if not isinstance(given, str | os.PathLike):
        raise ValueError(
            f'data[{split!r}]: expected a folder of classes for a classifier, got {given!r}'
        )
    root = Path(given)
    if not root.is_dir():
        raise FileNotFoundError(f'data[{split!r}]: no such folder: {root}')
    classes = sorted(path.name for path in root.iterdir() if path.is_dir())
    if not classes:
        raise ValueError(f'data[{split!r}]: expected a folder for each class in {root}, got none')
    metainfo = dict(classes=tuple(classes))
    return classes, dict(type='CustomDataset', data_prefix=str(root.resolve()), metainfo=metainfo)


def _loader(cfg: Config, stage: str, dataset: Settings) -> Settings:
    """Settings of a loader. The innermost data set is replaced, its transforms are kept."""
    name = f'{stage}_dataloader'
    keys: list[str] = []
    innermost = cfg.get(name) or {}
    while isinstance(innermost.get('dataset'), Mapping):
        keys, innermost = [*keys, 'dataset'], innermost['dataset']
    pipeline = innermost.get('pipeline') or ()
    if not any(transform['type'].split('.')[-1].startswith('LoadImage') for transform in pipeline):
        raise ValueError(
            f'student: expected a {name} whose data set reads image files in its pipeline, got '
            f'{innermost.get("type")}; use a config that reads image files'
        )
    kept = Expression('.'.join(['_base_', name, *keys, 'pipeline']))
    settings: Settings = dict(_delete_=True, **dataset, pipeline=kept)
    for key in reversed(keys):
        settings = {key: settings}
    return {name: settings}


def _evaluator(cfg: Config, dataset: Settings, num_classes: int) -> Settings:
    if is_classifier(cfg):
        return dict(type='Accuracy', topk=(1, 5) if num_classes > 5 else (1,))
    metric = ['bbox', 'segm'] if has_masks(cfg) else ['bbox']
    return dict(type='CocoMetric', ann_file=dataset['ann_file'], metric=metric)
