"""A data set of one's own in the place of a config's."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.fileio import load

from mmkd.pairing.inspection.image_size import innermost_dataset
from mmkd.pairing.writing.config_text import Expression

Settings = dict[str, Any]
# Keys of a model config below which num_classes is not the data set's: objectness, other labels.
OTHER_HEADS = ('rpn_head', 'semantic_head')
# Training images that MMDetection's configs leave out: without objects, or tiny.
FILTER = dict(filter_empty_gt=True, min_size=32)


def coco_settings(
    cfg: Config,
    train: tuple[Path, Path],
    val: tuple[Path, Path] | None,
) -> tuple[Settings, list[str]]:
    """Settings that put COCO-style files in the place of a detector config's data.

    Args:
        cfg: Config of the student's training, whose transforms are kept.
        train: Annotation file and folder of images.
        val: The same for validation; None leaves validation out.

    Returns:
        What the config sets, and the names of the classes, from the training file.

    Raises:
        FileNotFoundError: If a file or folder is missing.
        ValueError: If a file has no categories, the files have different ones, or the config's
            data set cannot be replaced.
    """
    classes = coco_classes(train[0])
    settings = _loader(cfg, 'train', _coco(train, classes, filter_cfg=FILTER))
    if val is None:
        return settings | _no_validation(), classes
    if missing := [name for name in classes if name not in coco_classes(val[0])]:
        raise ValueError(
            f'--val-ann: expected the categories of the training, {val[0]} lacks {missing}'
        )
    evaluator = dict(type='CocoMetric', ann_file=_path(val[0]), metric=_metrics(cfg))
    settings |= _validation(cfg, _coco(val, classes, test_mode=True), evaluator)
    return settings, classes


def coco_classes(ann_file: Path) -> list[str]:
    """Names of the categories of an annotation file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has none.
    """
    if not ann_file.is_file():
        raise FileNotFoundError(f'--ann: no such file: {ann_file}')
    content = load(str(ann_file), file_format='json')
    categories = content.get('categories') if isinstance(content, Mapping) else None
    if not categories:
        raise ValueError(f'--ann: expected COCO annotations with `categories` in {ann_file}')
    return [category['name'] for category in categories]


def folder_settings(cfg: Config, root: Path) -> tuple[Settings, list[str]]:
    """Settings that put folders of images, one a class, in the place of a classifier config's data.

    Args:
        cfg: Config of the student's training, whose transforms are kept.
        root: With ``train`` and, for validation, ``val``, in which each class has a folder.

    Returns:
        What the config sets, and the names of the classes.

    Raises:
        FileNotFoundError: If there is no ``train``.
        ValueError: If it has no folders, ``val`` has others, or the config's data set cannot be
            replaced.
    """
    classes = _folders(root / 'train')
    settings = _loader(cfg, 'train', _class_folders(root / 'train', classes))
    if not (root / 'val').is_dir():
        return settings | _no_validation(), classes
    if _folders(root / 'val') != classes:
        raise ValueError(
            f'--data: expected the same class folders in train and val, got {classes} and '
            f'{_folders(root / "val")}'
        )
    topk = (1, 5) if len(classes) > 5 else (1,)
    settings |= _validation(
        cfg, _class_folders(root / 'val', classes), dict(type='Accuracy', topk=topk)
    )
    if 'num_classes' in (cfg.get('data_preprocessor') or {}):
        settings['data_preprocessor'] = dict(num_classes=len(classes))
    return settings, classes


def class_overrides(model: Any, num_classes: int) -> Settings:
    """What to merge into a model's config so that its heads know another number of classes.

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


def _path(path: Path) -> str:
    return str(path.resolve())


def _coco(files: tuple[Path, Path], classes: Sequence[str], **more: Any) -> Settings:
    ann_file, images = files
    if not images.is_dir():
        raise FileNotFoundError(f'--img: no such folder: {images}')
    return dict(
        type='CocoDataset',
        ann_file=_path(ann_file),
        data_prefix=dict(img=f'{_path(images)}/'),
        metainfo=dict(classes=tuple(classes)),
        **more,
    )


def _class_folders(folder: Path, classes: Sequence[str]) -> Settings:
    return dict(
        type='CustomDataset', data_prefix=_path(folder), metainfo=dict(classes=tuple(classes))
    )


def _folders(root: Path) -> list[str]:
    if not root.is_dir():
        raise FileNotFoundError(f'--data: no such folder: {root}')
    classes = sorted(path.name for path in root.iterdir() if path.is_dir())
    if not classes:
        raise ValueError(f'--data: expected a folder for each class in {root}, got none')
    return classes


def _loader(cfg: Config, stage: str, dataset: Settings) -> Settings:
    """Setting of the loader: the innermost data set is replaced, its transforms are kept."""
    name = f'{stage}_dataloader'
    loader = cfg.get(name)
    path, innermost = innermost_dataset(loader.dataset) if loader else ([], {})
    pipeline = innermost.get('pipeline') or ()
    if not any(transform['type'].startswith('LoadImage') for transform in pipeline):
        raise ValueError(
            f'student: expected a {name} with a data set that reads image files by its pipeline, '
            f'got {innermost.get("type")}; take a config of images in files'
        )
    keys = ['dataset', *path]
    kept = Expression('.'.join(['_base_', name, *keys, 'pipeline']))
    settings: Settings = dict(_delete_=True, **dataset, pipeline=kept)
    for key in reversed(keys):
        settings = {key: settings}
    return {name: settings}


def _metrics(cfg: Config) -> list[str]:
    """Box AP, and mask AP for a model that has masks."""
    with_masks = 'mask_head' in cfg.model.get('roi_head', {}) or 'mask_head' in cfg.model
    return ['bbox', 'segm'] if with_masks else ['bbox']


def _validation(cfg: Config, dataset: Settings, evaluator: Settings) -> Settings:
    """Settings of validation and, the same, of the test."""
    settings = _loader(cfg, 'val', dataset)
    # MMEngine takes `_delete_` only where there is something to delete.
    old = {} if cfg.get('val_evaluator') is None else dict(_delete_=True)
    return {
        **settings,
        'val_evaluator': {**old, **evaluator},
        'test_dataloader': Expression('val_dataloader'),
        'test_evaluator': Expression('val_evaluator'),
    }


def _no_validation() -> Settings:
    stages = ('val', 'test')
    return {f'{s}_{part}': None for s in stages for part in ('dataloader', 'cfg', 'evaluator')}
