"""Sentences about what is wrong with a data set: its classes, its labels, or no images at all."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from numbers import Integral
from typing import Any

import numpy as np
from mmengine.fileio import load

from mmkd.datasets.train_and_val import different_label


def is_coco(dataset: Any) -> bool:
    """Whether a data set is COCO-style: it has categories and classes."""
    return hasattr(dataset, 'cat_ids') and 'classes' in getattr(dataset, 'metainfo', ())


def class_problem(dataset: Any) -> str | None:
    """Return why the classes of a COCO-style data set do not match its annotation file."""
    classes = dataset.metainfo['classes']
    if isinstance(classes, str):
        return (
            f'{dataset.ann_file}: metainfo.classes: expected a tuple of names, got the string '
            f'{classes!r}; write classes=({classes!r},)'
        )
    report = getattr(dataset, 'annotation_report', None)
    if len(dataset.cat_ids) == len(classes):
        if report is None:
            return _order_problem(dataset)
        if report.labels == tuple(classes):
            return None
    categories = [category['name'] for category in _read_annotations(dataset)['categories']]
    missing = _missing_classes(classes, categories)
    if not missing:
        return (
            f'{dataset.ann_file}: expected one category for each of the {len(classes)} classes, '
            f'got {len(dataset.cat_ids)}; is a name repeated?'
        )
    return (
        f'{dataset.ann_file}: has no category named {shorten(missing, 10)}, so labels would be '
        f'shifted; its categories are {shorten([*map(repr, categories)], 20)}; set '
        'metainfo=dict(classes=...) of the data set'
    )


def empty_problem(dataset: Any) -> str:
    """Return why a data set has no images."""
    settings = {'filter_cfg': dataset.filter_cfg, 'indices': dataset._indices}
    found = f'{type(dataset).__name__} of {dataset.ann_file!r} keeps none'
    hint = ''
    if is_coco(dataset):
        file = _read_annotations(dataset)
        counts = [f'{len(file.get(key, ()))} {key}' for key in ('images', 'annotations')]
        found += f' of {" and ".join(counts)}'
        settings['classes'] = dataset.metainfo['classes']
        report = getattr(dataset, 'annotation_report', None)
        problem = class_problem(dataset) or (report and report.problem())
        hint = f'; {problem}' if problem else ''
    used = ', '.join(f'{key}={value!r}' for key, value in settings.items())
    return f'dataset: expected at least one image, but {found} with {used}{hint}'


def has_single_labels(dataset: Any) -> bool:
    """Whether a data set gives one integer label an image: not several, one a task, or none.

    Args:
        dataset: A data set with images and with MMPretrain's ``get_data_info``.
    """
    return isinstance(dataset.get_data_info(0).get('gt_label'), Integral)


def folder_problem(dataset: Any) -> str:
    """Return why the labels of class folders are not those of metainfo; empty if they are.

    MMPretrain numbers the folders in sorted order, whatever ``classes`` says.
    """
    folders, classes = [*getattr(dataset, 'folder_to_idx', ())], dataset.metainfo.get('classes', ())
    label = different_label(folders, classes)
    if label is None:
        return ''
    return (
        f'{dataset.img_prefix}: label {label} is the folder {folders[label]!r}, but '
        f'{classes[label]!r} in metainfo.classes; give the classes in the order of the sorted '
        'folders'
    )


def label_problems(dataset: Any, heads: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each head that has no output for some label.

    On a GPU such a label fails with a device-side assertion that names neither label nor sample.

    Args:
        dataset: A data set with one label an image and with MMPretrain's ``get_gt_labels``.
        heads: Modules with ``num_classes``, by config key.
    """
    labels = dataset.get_gt_labels() if heads else np.empty(0)
    for key, head in heads.items():
        outside = np.flatnonzero((labels < 0) | (labels >= head.num_classes))
        if len(outside):
            others = f' (and {len(outside) - 1} more samples)' if len(outside) > 1 else ''
            yield (
                f'{type(dataset).__name__}: label {labels[outside[0]]} of sample {outside[0]}'
                f'{others} is outside [0, {head.num_classes}), the outputs of {key}; labels count '
                f'from 0: correct them, or raise {key}.num_classes'
            )


def shorten(items: Sequence[str], limit: int) -> str:
    """Join the first ``limit`` items, and give the number of all if there are more."""
    rest = f', ... ({len(items)} in all)' if len(items) > limit else ''
    return ', '.join(items[:limit]) + rest


def _order_problem(dataset: Any) -> str | None:
    """Return why the labels of a data set that numbers the file's categories are not its classes.

    Such data sets (LVIS) have ascending ids where the file lists the categories as published.
    """
    if [*dataset.cat_ids] == sorted(dataset.cat_ids):
        return None
    names = {each['id']: each['name'] for each in _read_annotations(dataset)['categories']}
    found = [str(names.get(each)) for each in dataset.cat_ids]
    label = different_label(dataset.metainfo['classes'], found)
    if label is None:
        return None
    return (
        f'{dataset.ann_file}: expected the categories in the order of metainfo.classes, but label '
        f'{label} is {found[label]!r} in the file and {dataset.metainfo["classes"][label]!r} in '
        'metainfo; reorder the categories of the file'
    )


def _read_annotations(dataset: Any) -> dict:
    return load(dataset.ann_file, backend_args=getattr(dataset, 'backend_args', None))


def _missing_classes(classes: Sequence[str], categories: Sequence[str]) -> list[str]:
    """Return the classes that the annotation file lacks, each with the closest category."""
    missing = []
    for name in classes:
        if name not in categories:
            near = get_close_matches(name, categories, n=1)
            missing.append(repr(name) + (f' (did you mean {near[0]!r}?)' if near else ''))
    return missing
