"""Check data sets against their annotation files and the model before a run starts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.fileio import load
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from mmkd.datasets.unwrap import unwrap
from mmkd.hooks.classification_check import has_single_labels, label_problems
from mmkd.models.heads import classifying_heads
from mmkd.registry import HOOKS


def _is_coco(dataset: Any) -> bool:
    return hasattr(dataset, 'cat_ids') and 'classes' in getattr(dataset, 'metainfo', ())


def _read_annotations(dataset: Any) -> dict:
    return load(dataset.ann_file, backend_args=getattr(dataset, 'backend_args', None))


def _shorten(items: Sequence[str], limit: int) -> str:
    rest = f', ... ({len(items)} in all)' if len(items) > limit else ''
    return ', '.join(items[:limit]) + rest


def _missing_classes(classes: Sequence[str], categories: Sequence[str]) -> list[str]:
    """The classes that the annotation file lacks, each with the category it may be meant for."""
    missing = []
    for name in classes:
        if name not in categories:
            near = get_close_matches(name, categories, n=1)
            missing.append(repr(name) + (f' (did you mean {near[0]!r}?)' if near else ''))
    return missing


def _class_problem(dataset: Any) -> str | None:
    """Why the classes of a COCO-style data set do not fit its annotation file."""
    classes = dataset.metainfo['classes']
    if isinstance(classes, str):
        return (
            f'{dataset.ann_file}: metainfo.classes: expected a tuple of names, got the string '
            f'{classes!r}; write classes=({classes!r},)'
        )
    # One id for each class that the file has: equal counts spare reading a large file again.
    if len(dataset.cat_ids) == len(classes):
        return None
    categories = [category['name'] for category in _read_annotations(dataset)['categories']]
    missing = _missing_classes(classes, categories)
    if not missing:
        return (
            f'{dataset.ann_file}: expected one category for each of the {len(classes)} classes, '
            f'got {len(dataset.cat_ids)}; is a name repeated?'
        )
    return (
        f'{dataset.ann_file}: has no category named {_shorten(missing, 10)}, so labels would be '
        f'shifted; its categories are {_shorten([*map(repr, categories)], 20)}; set '
        'metainfo=dict(classes=...) of the data set'
    )


def _empty_problem(dataset: Any) -> str:
    """Why a data set has no images."""
    settings = {'filter_cfg': dataset.filter_cfg, 'indices': dataset._indices}
    found = f'{type(dataset).__name__} of {dataset.ann_file!r} keeps none'
    hint = ''
    if _is_coco(dataset):
        file = _read_annotations(dataset)
        counts = [f'{len(file.get(key, ()))} {key}' for key in ('images', 'annotations')]
        found += f' of {" and ".join(counts)}'
        settings['classes'] = dataset.metainfo['classes']
        problem = _class_problem(dataset)
        hint = f'; {problem}' if problem else ''
    used = ', '.join(f'{key}={value!r}' for key, value in settings.items())
    return f'dataset: expected at least one image, but {found} with {used}{hint}'


@contextmanager
def explain_empty_datasets() -> Iterator[None]:
    """Make an empty data set fail with its file and filters, while the block runs.

    MMEngine builds the data sets before any hook runs and fails on an empty one with NumPy's
    ``need at least one array to concatenate``. Training and test scripts run inside this block.

    Raises:
        ValueError: Names the annotation file, how much it holds, the filter settings, and the
            classes that it lacks.

    Example:
        >>> with explain_empty_datasets():
        ...     dataset = BaseDataset(ann_file='', lazy_init=True)
    """
    stock = BaseDataset._serialize_data

    def serialize(dataset: BaseDataset) -> Any:
        if not dataset.data_list:
            raise ValueError(_empty_problem(dataset))
        return stock(dataset)

    BaseDataset._serialize_data = serialize
    try:
        yield
    finally:
        BaseDataset._serialize_data = stock


def _student(model: nn.Module) -> tuple[str, nn.Module]:
    """The model that learns, and its config key; of a distillation algorithm, its student."""
    model = model.module if is_model_wrapper(model) else model  # type: ignore[assignment]
    if isinstance(getattr(model, 'architecture', None), nn.Module):
        return 'model.architecture', model.architecture  # type: ignore[return-value]
    return 'model', model


def _student_heads(model: nn.Module) -> dict[str, nn.Module]:
    """The heads that classify the student's classes, by their config keys."""
    key, student = _student(model)
    return {f'{key}.{name}': head for name, head in classifying_heads(student)}


def _head_problems(dataset: Any, heads: dict[str, nn.Module]) -> Iterator[str]:
    """Heads whose number of classes is not the data set's."""
    source = getattr(dataset, 'ann_file', '') or type(dataset).__name__
    has_file = hasattr(dataset, 'ann_file')  # those without know their classes themselves
    other_way = ', or metainfo=dict(classes=...) of the data set' if has_file else ''
    count = len(dataset.metainfo['classes'])
    for key, head in heads.items():
        if head.num_classes != count:
            yield (
                f'{key} ({type(head).__name__}): has num_classes={head.num_classes}, but '
                f'{source} is read with {count} classes '
                f'({_shorten(dataset.metainfo["classes"], 5)}); set {key}.num_classes='
                f'{count}{other_way}'
            )


def _coco_problems(dataset: Any, heads: dict[str, nn.Module]) -> Iterator[str]:
    """Everything wrong with the classes of one COCO-style data set."""
    problem = _class_problem(dataset)
    if problem:
        yield problem
    # Wrong class names say nothing about the heads, nor do those of open vocabulary (an input).
    elif not getattr(dataset, 'return_classes', False):
        yield from _head_problems(dataset, heads)


def _classification_problems(dataset: Any, heads: dict[str, nn.Module]) -> Iterator[str]:
    """Everything wrong with the classes and labels of one classification data set."""
    wrong_heads = [*_head_problems(dataset, heads)] if 'classes' in dataset.metainfo else []
    # Labels beyond a head with the wrong number of classes would be the same mistake again.
    yield from wrong_heads or label_problems(dataset, heads)


def _problems(dataset: Any, model: nn.Module) -> Iterator[str]:
    """Everything wrong with one unwrapped data set; nothing, if it is of a kind not known here."""
    is_coco = _is_coco(dataset)
    if not is_coco and not hasattr(dataset, 'get_gt_labels'):
        return
    if len(dataset) == 0:
        yield _empty_problem(dataset)
    elif is_coco:
        yield from _coco_problems(dataset, _student_heads(model))
    elif has_single_labels(dataset):
        yield from _classification_problems(dataset, _student_heads(model))


def _sampler_problems(loader: Any) -> Iterator[str]:
    """No batch at all, or a sampler that draws batches of another size than the loader cuts."""
    batches: Any = getattr(loader, 'batch_sampler', None)
    if getattr(batches, 'drop_last', False) and len(batches) == 0:
        yield (
            f'batch_size: expected at most the {len(batches.sampler)} samples of a process, as '
            f'drop_last=True leaves out what fills no batch, got {batches.batch_size}'
        )
    sampler = getattr(batches, 'sampler', None)
    drawn = getattr(sampler, 'batch_size', None)
    if isinstance(drawn, int) and drawn != batches.batch_size:
        yield (
            f'sampler ({type(sampler).__name__}): draws batches of {drawn}, but the loader has '
            f'batch_size={batches.batch_size}; give both the same'
        )


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Check each data set against its annotation file, its sampler and the model's heads.

    Looked at are COCO-style data sets, and MMPretrain's and :class:`mmkd.datasets.InMemoryDataset`
    with one label an image; others are let through. Before training, the training and the
    validation set; before an evaluation alone, its set. Wrapped data sets (concatenated, repeated,
    class-balanced) are looked into. Of a distillation algorithm only the student
    (``architecture``) is checked, since a teacher may know other classes. Images are not looked
    for on disk.

    Raises:
        ValueError: Lists everything found, for each loader: classes that the annotation file has
            no category for (with close matches), heads with another number of classes than the
            data set (with the config key to change), labels that a head has no output for, an
            empty data set, a loader without a full batch, a sampler that draws batches
            (:class:`mmkd.datasets.CURSampler`) of another size than the loader's. Most empty data
            sets fail before any hook runs; see :func:`explain_empty_datasets`.

    Example:
        >>> custom_hooks = [dict(type='mmkd.DataCheckHook')]
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._checked: set[str] = set()

    def before_train(self, runner) -> None:
        """Check the training set and, where there is one, the validation set."""
        self._check(runner, 'train')
        if runner.val_loop is not None:
            self._check(runner, 'val')

    def before_val(self, runner) -> None:
        """Check the validation set."""
        self._check(runner, 'val')

    def before_test(self, runner) -> None:
        """Check the test set."""
        self._check(runner, 'test')

    def _check(self, runner, stage: str) -> None:
        if stage in self._checked:
            return
        self._checked.add(stage)
        name = f'{stage}_dataloader'
        loader = getattr(runner, name)
        problems = [*_sampler_problems(loader)]
        for dataset in unwrap(loader.dataset):
            problems.extend(_problems(dataset, runner.model))
        if problems:
            listed = '\n  '.join(problems)
            raise ValueError(
                f'{name}: does not fit its annotations, its sampler or the model\n  {listed}'
            )
