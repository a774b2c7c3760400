"""Whether the annotation file of a COCO metric is that of the data set."""

import os.path as osp
from collections.abc import Iterator
from typing import Any

from mmkd.datasets.dataset_problems import shorten


def compared_files(metrics: list[Any]) -> list[Any]:
    """Return the annotation files with which metrics compare predictions."""
    files = [getattr(metric, '_coco_api', None) for metric in metrics if not _only_formats(metric)]
    return [file for file in files if hasattr(file, 'name')]  # mmkd.compat.coco_files names them


def evaluation_problems(dataset: Any, metrics: list[Any]) -> Iterator[str]:
    """Yield a sentence for each metric that compares with other classes or images.

    Args:
        dataset: A COCO-style data set.
        metrics: The metrics of its evaluator.
    """
    for file in compared_files(metrics):
        if file.name == dataset.ann_file:
            continue
        setting = f'ann_file of the evaluator ({file.name})'
        names = {category['name'] for category in file.cats.values()}
        if missing := [name for name in dataset.metainfo['classes'] if name not in names]:
            lacks = shorten(missing, 10)
            yield f'{setting}: expected the classes of the data set, it lacks {lacks}'
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            image = file.imgs.get(info['img_id'])
            if image is None or _name(image) not in ('', osp.basename(info['img_path'])):
                got = 'none' if image is None else repr(image['file_name'])
                yield (
                    f'{setting}: expected the images of {dataset.ann_file}, but image '
                    f'{info["img_id"]!r} is {info["img_path"]} there and {got} here; give the '
                    "evaluator the data set's annotation file"
                )
                break


def only_formats(metrics: list[Any]) -> bool:
    """Whether an evaluator writes predictions without comparing them."""
    return bool(metrics) and all(map(_only_formats, metrics))


def _only_formats(metric: Any) -> bool:
    return bool(getattr(metric, 'format_only', False))


def _name(image: dict) -> str:
    return osp.basename(image['file_name'])
