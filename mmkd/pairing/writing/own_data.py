"""Your own data in place of a config's data set."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmkd.datasets.annotations.coco_file import read_coco
from mmkd.pairing.inspection.model_kind import has_masks, is_classifier
from mmkd.pairing.writing.class_folders import class_folders, image_files, left_out
from mmkd.pairing.writing.config_text import Expression
from mmkd.pairing.writing.settings import Settings
from mmkd.pairing.writing.validation_split import split_coco, split_files

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


@dataclass(frozen=True)
class OwnData:
    """Your data in place of a config's.

    Attributes:
        settings: Settings of loaders and evaluators.
        classes: Names of the classes.
        decisions: Topic and text of each decision.
        files: Files that the settings name and that are not there yet, with their text.
    """

    settings: Settings
    classes: list[str]
    decisions: list[tuple[str, str]]
    files: dict[Path, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Split:
    """One of the data sets: what it is read from, and its classes."""

    source: str
    classes: list[str]
    dataset: Settings
    content: Any


def data_settings(cfg: Config, data: Data, folder: Path) -> OwnData:
    """Put your data in place of a config's.

    The config keeps its transforms, and evaluates on the validation data for ``test``, too.

    Args:
        cfg: Config of the student's training.
        data: For detectors a folder with COCO annotations (``train.json`` and ``val.json``, images
            in ``train/`` and ``val/``; or ``annotations/`` beside the images), or
            ``dict(train=(annotations, images), val=(annotations, images))``. For classifiers a
            folder with ``train/CLASS/...`` and ``val/CLASS/...``, or ``dict(train=folder,
            val=folder)``. Without ``val``, a tenth of the training images is held out, the same in
            each run. ``val=None`` asks for no validation; beside a folder,
            ``dict(root=folder, val=None)``.
        folder: Folder of the run, for lists of held-out images.

    Raises:
        FileNotFoundError: If a file or folder is missing.
        ValueError: If there are no classes, those of the splits differ, an annotation file cannot
            be read, or the config's data set cannot be replaced.
    """
    make = _class_folders if is_classifier(cfg) else _coco
    splits = _given(cfg, data) if isinstance(data, Mapping) else _found(cfg, Path(data))
    train = make('train', splits['train'])
    classes = train.classes
    decisions = [('data', f'{len(classes)} classes: {", ".join(classes)}')]
    if is_classifier(cfg) and (text := left_out(Path(train.source), classes)):
        decisions.append(('data', text))
    if splits.get('val', '') is None:
        decisions.append(('validation', 'none, as val=None asks'))
        stages, parts = ('val', 'test'), ('dataloader', 'cfg', 'evaluator')
        none: Settings = {f'{stage}_{part}': None for stage in stages for part in parts}
        return OwnData(_loader(cfg, 'train', train.dataset) | none, classes, decisions)
    files: dict[Path, str] = {}
    if 'val' in splits:
        val = make('val', splits['val'])
    else:
        train, val, count = _held_out(cfg, train, folder.resolve(), files)
        decisions.append(
            (
                'validation',
                f'{count} training images are held out, as there is no validation data: '
                f'{val.dataset["ann_file"]}; val=None trains on all',
            )
        )
    if is_classifier(cfg) and val.classes != classes:
        raise ValueError(
            f'data: expected the same class folders in train and val, got {classes} and '
            f'{val.classes}'
        )
    if missing := [name for name in classes if name not in val.classes]:
        raise ValueError(
            f'data: expected the categories of the training in {val.source}, it lacks {missing}'
        )
    settings = _loader(cfg, 'train', train.dataset)
    val.dataset['metainfo'] = dict(classes=tuple(classes))
    settings |= _loader(cfg, 'val', val.dataset)
    # MMEngine accepts `_delete_` only where there is something to delete.
    old = {} if cfg.get('val_evaluator') is None else dict(_delete_=True)
    settings['val_evaluator'] = old | _evaluator(cfg, val.dataset, len(classes))
    settings |= {f'test_{p}': Expression(f'val_{p}') for p in ('dataloader', 'evaluator')}
    if 'num_classes' in (cfg.get('data_preprocessor') or {}):
        settings['data_preprocessor'] = dict(num_classes=len(classes))
    return OwnData(settings, classes, decisions, files)


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


def _given(cfg: Config, data: Mapping[str, Any]) -> dict[str, Any]:
    """The splits that the caller named. None for ``val`` asks for no validation."""
    if set(data) == {'root', 'val'} and data['val'] is None:
        return _found(cfg, Path(data['root'])) | dict(val=None)
    if data.get('train') is None or set(data) - set(SPLITS):
        raise ValueError(f"data: expected the keys 'train' and perhaps 'val', got {[*data]}")
    return dict(data)


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
        images = read_coco(file)['images'] or [dict(file_name='')]
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


def _coco(split: str, given: Any) -> _Split:
    """The data set of COCO annotations."""
    if isinstance(given, str | os.PathLike) or not isinstance(given, Sequence) or len(given) != 2:
        raise ValueError(
            f'data[{split!r}]: expected (annotation file, folder of images) for a detector, got '
            f'{given!r}'
        )
    ann_file, images = map(Path, given)
    if not ann_file.exists():
        raise FileNotFoundError(f'data[{split!r}]: no such file: {ann_file}')
    if not images.is_dir():
        raise FileNotFoundError(f'data[{split!r}]: no such folder: {images}')
    content = read_coco(ann_file)
    classes = [category['name'] for category in content['categories']]
    if repeated := sorted({name for name in classes if classes.count(name) > 1}):
        raise ValueError(
            f'data[{split!r}]: expected categories with different names in {ann_file}, got '
            f'{repeated} several times'
        )
    dataset = dict(
        type='CocoDataset',
        ann_file=str(ann_file.resolve()),
        data_prefix=dict(img=f'{images.resolve()}/'),
        metainfo=dict(classes=tuple(classes)),
        **(dict(filter_cfg=FILTER) if split == 'train' else dict(test_mode=True)),
    )
    return _Split(str(ann_file), classes, dataset, content)


def _class_folders(split: str, given: Any) -> _Split:
    """The data set of a folder for each class."""
    if not isinstance(given, str | os.PathLike):
        raise ValueError(
            f'data[{split!r}]: expected a folder of classes for a classifier, got {given!r}'
        )
    root = Path(given)
    classes = class_folders(f'data[{split!r}]', root)
    metainfo = dict(classes=tuple(classes))
    dataset = dict(type='CustomDataset', data_prefix=str(root.resolve()), metainfo=metainfo)
    return _Split(str(root), classes, dataset, None)


def _held_out(
    cfg: Config, train: _Split, folder: Path, files: dict[Path, str]
) -> tuple[_Split, _Split, str]:
    """Split the training data in two. The lists of their images go into ``files``."""
    if is_classifier(cfg):
        images = image_files(Path(train.source), train.classes)
        *texts, count = split_files(*zip(*images, strict=True))
        kind = 'txt'
    else:
        *texts, count = split_coco(train.content)
        kind = 'json'
    parts = []
    for split, text in zip(('train', 'val'), texts, strict=True):
        path = folder / f'{split}_images.{kind}'
        files[path] = text
        dataset = {**train.dataset, 'ann_file': str(path)}
        if split == 'val' and dataset.pop('filter_cfg', None):
            dataset['test_mode'] = True
        parts.append(_Split(str(path), train.classes, dataset, None))
    return parts[0], parts[1], count


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
            f'{innermost.get("type")}; use a config that reads image files, '
            'such as mmpretrain::resnet/resnet18_8xb32_in1k.py'
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
