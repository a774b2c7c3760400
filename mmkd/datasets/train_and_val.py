"""Whether what was trained on and what is evaluated on fit: the same labels, other images."""

import functools
import os.path as osp
from collections.abc import Sequence
from typing import Any

from mmkd.datasets.class_names import plain_name


def order_problem(train: Any, val: Any) -> str:
    """Return why a label means different classes in two data sets; empty if it does not.

    Data sets without a common name are not compared: their classes may be written differently.
    """
    first, second = _folders(train), _folders(val)
    kind = 'class folders'
    if first is None or second is None:
        first, second, kind = classes_of(train), classes_of(val), 'classes'
        label = different_label(first, second)
    else:  # one folder more or less moves the labels of all after it
        both = range(min(len(first), len(second)))
        changed = set(first) & set(second) and first != second
        label = next((i for i in both if first[i] != second[i]), len(both)) if changed else None
    if label is None:
        return ''
    names = [repr(each[label]) if label < len(each) else 'missing' for each in (first, second)]
    return (
        f'expected the {kind} of the training in the same order, but label {label} is {names[0]} '
        f'in training and {names[1]} here; got {[*first][:10]} and {[*second][:10]}'
    )


def checkpoint_problem(trained: Sequence[str] | None, dataset: Any) -> str:
    """Return why a label means different classes in a checkpoint and a data set; empty if not.

    Args:
        trained: Names of the classes of the checkpoint's training, or None if it names none.
        dataset: Data set of the evaluation. One without a common name is not compared.
    """
    classes = classes_of(dataset)
    plain = [[plain_name(name) for name in names] for names in (trained or (), classes)]
    label = different_label(*plain)
    if trained is None or label is None:
        return ''
    return (
        f'expected the classes of the checkpoint in the same order, but label {label} was '
        f'{trained[label]!r} in its training and is {classes[label]!r} here; set '
        f'metainfo=dict(classes={tuple(trained)!r:.200})'
    )


def different_label(first: Sequence[str], second: Sequence[str]) -> int | None:
    """Return the first label whose name has another label in the other list, or None."""
    common = set(first) & set(second)
    pairs = enumerate(first)
    if not common or len(first) != len(second):
        return None
    return next((i for i, name in pairs if name in common and second[i] != name), None)


def classes_of(dataset: Any) -> tuple[str, ...]:
    """Return the names of a data set's classes; none if it does not say."""
    classes = getattr(dataset, 'metainfo', {}).get('classes') or ()
    return () if isinstance(classes, str) else tuple(classes)


def _folders(dataset: Any) -> tuple[str, ...] | None:
    """The folders that give a data set its labels."""
    folders = getattr(dataset, 'folder_to_idx', None)
    return None if folders is None else tuple(folders)


def shared_images(train: Sequence[Any], val: Sequence[Any]) -> list[str]:
    """Return the image files that are in training and in validation data."""
    shared: set[str] = set()
    for first in train:
        for second in val:
            folders = [folder for folder in map(_folder, (first, second)) if folder is not None]
            # Large data sets in folders of their own need not be listed.
            if len(folders) == 2 and osp.commonpath(folders) in folders:
                shared |= _files(first) & _files(second)
    return sorted(shared)


def _folder(dataset: Any) -> str | None:
    """The folder of a data set's images; None if it has none."""
    prefix = getattr(dataset, 'data_prefix', None)
    if not isinstance(prefix, dict) or not hasattr(dataset, 'get_data_info'):
        return None
    return osp.realpath(prefix.get('img') or prefix.get('img_path') or '')


def _files(dataset: Any) -> set[str]:
    """Paths of the images of a data set."""
    report = getattr(dataset, 'annotation_report', None)
    if report is not None and dataset._indices is None:
        paths = [osp.join(_folder(dataset) or '', name) for name in report.files]
    else:
        infos = (dataset.get_data_info(index) for index in range(len(dataset)))
        paths = [info['img_path'] for info in infos if 'img_path' in info]
    real = functools.cache(osp.realpath)  # of the folders; a call for each file would take long
    return {osp.join(real(osp.dirname(path)), osp.basename(path)) for path in paths}
