"""COCO files in MMDetection: labels by name, and errors and counts for what it would drop.

MMDetection numbers labels in the order of the file's categories, in training and in evaluation.
Where two files list them in different orders, or in another order than ``metainfo``, the same label
means different classes.
"""

from collections.abc import Callable, Sequence
from functools import partialmethod
from types import ModuleType
from typing import Any

from mmkd.compat.import_hooks import after_import


def _cat_ids_by_name(coco: Any, stock: Callable, cat_names: Sequence = (), *args, **kwargs) -> list:
    """The ids of categories in the order of their names."""
    ids = stock(coco, cat_names, *args, **kwargs)
    if isinstance(cat_names, str):
        return ids
    position = {name: index for index, name in reversed([*enumerate(cat_names)])}
    return sorted(ids, key=lambda each: position.get(coco.cats[each]['name'], len(position)))


def _in_order_of_params(evaluation: Any, stock: Callable, *args) -> None:
    """Keep results by category in the order of ``params.catIds``, which pycocotools sorts.

    CocoMetric names them in that order in its table of classes.
    """
    order = list(getattr(evaluation, 'given_cat_ids', ()))
    stock(evaluation, *args)
    ids = list(evaluation.params.catIds)
    if evaluation.params.useCats and sorted(order) == ids:
        columns = [ids.index(each) for each in order]
        for name in ('precision', 'recall', 'scores'):
            table = evaluation.eval[name]
            axis = 1 if name == 'recall' else 2
            evaluation.eval[name] = table.take(columns, axis)


def _remember_order(evaluation: Any, stock: Callable) -> None:
    evaluation.given_cat_ids = list(evaluation.params.catIds)
    stock(evaluation)


def _wrap(cls: type, name: str, wrapper: Callable) -> None:
    setattr(cls, name, partialmethod(wrapper, getattr(cls, name)))


def _patch_api(module: ModuleType) -> None:
    _wrap(module.COCO, 'get_cat_ids', _cat_ids_by_name)


def _make_ids_positive(content: dict) -> None:
    """Number annotations anew if an id is 0 or text: pycocotools takes 0 for "not found"."""
    annotations = content.get('annotations', ())
    if any(isinstance(each['id'], str) or each['id'] <= 0 for each in annotations):
        for number, each in enumerate(annotations, 1):
            each['id'] = number


def _checked(coco: Any, for_evaluation: bool = False) -> type:
    """A class of COCO files whose errors name the entry."""

    class CheckedCOCO(coco):
        def __init__(self, annotation_file: str, name: str | None = None) -> None:
            from mmkd.datasets.annotations.coco_file import read_coco

            super().__init__()
            self.name = name or str(annotation_file)
            self.dataset = read_coco(annotation_file, self.name)
            if for_evaluation:
                _make_ids_positive(self.dataset)
            self.createIndex()
            self.img_ann_map, self.cat_img_map = self.imgToAnns, self.catToImgs

    return CheckedCOCO


def _load_checked(dataset: Any, stock: Callable, coco: type) -> list[dict]:
    """Load a data set from a checked file, and leave a report of its annotations."""
    if type(dataset).COCOAPI is not coco.__base__:  # panoptic files are others
        return stock(dataset)
    opened: list[Any] = []

    def open_file(path: str) -> Any:
        opened.append(coco(path, dataset.ann_file))
        return opened[0]

    dataset.COCOAPI = open_file
    try:
        data_list = stock(dataset)
    finally:
        del dataset.COCOAPI
    from mmkd.datasets.annotations.annotation_report import annotation_report

    dataset.annotation_report = annotation_report(opened[0].dataset, dataset.cat_ids)
    return data_list


def _patch_dataset(module: ModuleType) -> None:
    def load(dataset: Any, stock: Callable) -> list[dict]:
        return _load_checked(dataset, stock, checked)

    checked = _checked(module.COCO)
    _wrap(module.CocoDataset, 'load_data_list', load)


def _patch_metric(module: ModuleType) -> None:
    checked = _checked(module.COCO, for_evaluation=True)
    checked.__module__, checked.__qualname__ = module.__name__, 'COCO'  # so that it can be pickled
    module.COCO = checked  # type: ignore[attr-defined]
    for name in ('COCOeval', 'COCOevalMP'):
        ordered = type(name, (getattr(module, name),), {'__module__': module.__name__})
        _wrap(ordered, 'evaluate', _remember_order)
        _wrap(ordered, 'accumulate', _in_order_of_params)
        setattr(module, name, ordered)


def apply() -> None:
    """Patch MMDetection's COCO data sets and metric when they are imported."""
    after_import('mmdet.datasets.api_wrappers.coco_api', _patch_api)
    after_import('mmdet.datasets.coco', _patch_dataset)
    after_import('mmdet.evaluation.metrics.coco_metric', _patch_metric)
