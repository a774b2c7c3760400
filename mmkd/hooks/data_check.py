"""Check data sets against their annotation files and the model before a run starts."""

import logging
from collections.abc import Iterator
from typing import Any, Literal

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from mmkd.datasets.annotations.evaluation_file import (
    compared_files,
    evaluation_problems,
    only_formats,
)
from mmkd.datasets.dataset_problems import (
    class_problem,
    empty_problem,
    folder_problem,
    has_single_labels,
    is_coco,
    label_problems,
    shorten,
)
from mmkd.datasets.image_sizes import size_problem
from mmkd.datasets.train_and_val import order_problem, shared_images
from mmkd.datasets.unwrap import unwrap
from mmkd.hooks.teacher_classes import teacher_problems
from mmkd.models.heads import classifying_heads
from mmkd.models.model_wrapper import unwrap_model
from mmkd.registry import HOOKS


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Check each data set against its annotation file, its sampler and the model's heads.

    The hook checks COCO-style data sets, and those of MMPretrain and
    :class:`mmkd.datasets.InMemoryDataset` with one label an image. It ignores all others. It looks
    into concatenated, repeated and class-balanced data sets. Before training it checks the
    training and validation sets; before a separate evaluation, that evaluation's set. With a
    distillation algorithm it checks the student (``architecture``), and the names of the teacher's
    classes where a loss compares logits or the teacher is evaluated. It reads 16 images of a COCO
    data set to compare their sizes.

    It warns of annotations that MMDetection leaves out (boxes outside of their image, unknown
    categories and the like), of boxes that end outside, of repeated files and of images that are in
    both sets. Each warning has the count and the first example.

    Raises:
        ValueError: Lists everything found, for each loader: classes without a category in the
            annotation file (with close matches), heads with another number of classes than the
            data set (with the config key to change), labels without an output of the head, an
            empty data set, a loader without a full batch, a sampler
            (:class:`mmkd.datasets.CURSampler`) with another batch size than the loader, annotations
            of which more than half are lost or seem to be in other units, images of other sizes
            than their annotations say, missing masks, an evaluator with another annotation file,
            labels that mean other classes in validation or for the teacher. Most empty data sets
            fail before any hook runs; see
            :func:`mmkd.datasets.explained_errors.explain_empty_datasets`.

    Example:
        >>> default_hooks = dict(data_check=dict(type='mmkd.DataCheckHook'))
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._checked: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Check the training set, the teacher's classes and the validation set, if there is one."""
        self._check(runner, 'train')
        for dataset in unwrap(runner.train_dataloader.dataset)[:1]:
            if problems := [*teacher_problems(runner, dataset)]:
                raise ValueError('; '.join(problems))
        if runner.val_loop is not None:
            self._check(runner, 'val')
            _check_train_and_val(runner)

    def before_val(self, runner: Runner) -> None:
        """Check the validation set."""
        self._check(runner, 'val')

    def before_test(self, runner: Runner) -> None:
        """Check the test set."""
        self._check(runner, 'test')

    def _check(self, runner: Runner, stage: Literal['train', 'val', 'test']) -> None:
        if stage in self._checked:
            return
        self._checked.add(stage)
        name = f'{stage}_dataloader'
        loader = getattr(runner, name)
        problems = [*_sampler_problems(loader)]
        datasets = unwrap(loader.dataset)
        for dataset in datasets:
            problems.extend(_problems(dataset, runner.model))
        metrics = [] if stage == 'train' else _metrics(runner, stage)
        if not problems:
            problems += _annotation_problems(name, datasets, metrics)
        if problems:
            listed = '\n  '.join(problems)
            raise ValueError(
                f'{name}: does not fit its annotations, its sampler or the model\n  {listed}'
            )


def _metrics(runner: Runner, stage: str) -> list[Any]:
    """The metrics of an evaluator; none without one."""
    evaluator = getattr(getattr(runner, f'{stage}_loop', None), 'evaluator', None)
    return list(getattr(evaluator, 'metrics', ()))


def _annotation_problems(name: str, datasets: list[Any], metrics: list[Any]) -> list[str]:
    """Return why a loader's data sets teach or tell nothing. Lesser flaws are logged."""
    datasets = [dataset for dataset in datasets if is_coco(dataset)]
    problems = [
        problem for dataset in datasets for problem in evaluation_problems(dataset, metrics)
    ]
    for dataset in datasets:
        problems += _coco_file_problems(name, dataset, metrics)
    reports: list[Any] = [getattr(dataset, 'annotation_report', None) for dataset in datasets]
    compares = compared_files(metrics) if 'train' not in name else True
    if all(reports) and reports and compares and not any(each.total for each in reports):
        files = ', '.join(str(dataset.ann_file) for dataset in datasets)
        problems.append(f'{files}: expected annotations of the classes, got none')
    return problems


def _coco_file_problems(name: str, dataset: Any, metrics: list[Any]) -> Iterator[str]:
    """Yield what makes a COCO-style data set useless, and log what does not."""
    report = getattr(dataset, 'annotation_report', None)
    if report is None or only_formats(metrics):
        return
    transforms = getattr(dataset.pipeline, 'transforms', ())
    has_masks = any(getattr(transform, 'with_mask', False) for transform in transforms)
    has_masks |= any('segm' in getattr(metric, 'metrics', ()) for metric in metrics)
    if problem := report.problem(has_masks):
        yield f'{dataset.ann_file}: {problem}'
        return
    for warning in report.warnings():
        _warn(f'{name}: {dataset.ann_file}: {warning}')
    problem, most = size_problem(dataset)
    if most:
        yield problem
    elif problem:
        _warn(f'{name}: {problem}')


def _check_train_and_val(runner: Runner) -> None:
    """Raise if labels mean other classes in validation; warn of images in both."""
    train, val = unwrap(runner.train_dataloader.dataset), unwrap(runner.val_dataloader.dataset)
    problems = {order_problem(first, second) for first in train for second in val} - {''}
    if problems:
        raise ValueError('val_dataloader: ' + '; '.join(sorted(problems)))
    if shared := shared_images(train, val):
        _warn(
            f'val_dataloader: {len(shared)} images are in the training data, too, so the metrics '
            f'say little about new images (first: {shared[0]})'
        )


def _warn(text: str) -> None:
    print_log(text, 'current', level=logging.WARNING)


def _sampler_problems(loader: Any) -> Iterator[str]:
    """Yield a sentence if there is no full batch, or the sampler has another batch size."""
    batches: Any = getattr(loader, 'batch_sampler', None)
    if getattr(batches, 'drop_last', False) and len(batches) == 0:
        yield (
            f'batch_size: expected at most the {len(batches.sampler)} samples of a process, '
            f'because drop_last=True drops incomplete batches, got {batches.batch_size}'
        )
    sampler = getattr(batches, 'sampler', None)
    drawn = getattr(sampler, 'batch_size', None)
    if isinstance(drawn, int) and drawn != batches.batch_size:
        yield (
            f'sampler ({type(sampler).__name__}): draws batches of {drawn}, but the loader has '
            f'batch_size={batches.batch_size}; give both the same'
        )


def _problems(dataset: Any, model: nn.Module) -> Iterator[str]:
    """Yield all problems of one unwrapped data set. Unknown kinds have none."""
    coco = is_coco(dataset)
    if not coco and not hasattr(dataset, 'get_gt_labels'):
        return
    if len(dataset) == 0:
        yield empty_problem(dataset)
    elif coco:
        yield from _coco_problems(dataset, _student_heads(model))
    elif has_single_labels(dataset):
        yield from _classification_problems(dataset, _student_heads(model))


def _student_heads(model: nn.Module) -> dict[str, nn.Module]:
    """Return the heads that classify the student's classes, by config key."""
    key, student = 'model', unwrap_model(model)
    if isinstance(getattr(student, 'architecture', None), nn.Module):  # a distillation algorithm
        key, student = 'model.architecture', student.architecture
    return {f'{key}.{name}': head for name, head in classifying_heads(student)}


def _coco_problems(dataset: Any, heads: dict[str, nn.Module]) -> Iterator[str]:
    """Yield all problems with the classes of one COCO-style data set."""
    problem = class_problem(dataset)
    if problem:
        yield problem
    # Wrong class names say nothing about the heads. Nor do open-vocabulary classes (an input).
    elif not getattr(dataset, 'return_classes', False):
        yield from _head_problems(dataset, heads)


def _classification_problems(dataset: Any, heads: dict[str, nn.Module]) -> Iterator[str]:
    """Yield all problems with the classes and labels of one classification data set."""
    if problem := folder_problem(dataset):
        yield problem
    wrong_heads = [*_head_problems(dataset, heads)] if 'classes' in dataset.metainfo else []
    # A head with the wrong number of classes is enough: wrong labels would repeat the same mistake.
    yield from wrong_heads or label_problems(dataset, heads)


def _head_problems(dataset: Any, heads: dict[str, nn.Module]) -> Iterator[str]:
    """Yield a sentence for each head with another number of classes than the data set."""
    source = getattr(dataset, 'ann_file', '') or type(dataset).__name__
    has_file = hasattr(dataset, 'ann_file')  # data sets without a file have fixed classes
    other_way = ', or metainfo=dict(classes=...) of the data set' if has_file else ''
    count = len(dataset.metainfo['classes'])
    for key, head in heads.items():
        if head.num_classes != count:
            yield (
                f'{key} ({type(head).__name__}): has num_classes={head.num_classes}, but '
                f'{source} is read with {count} classes '
                f'({shorten(dataset.metainfo["classes"], 5)}); set {key}.num_classes='
                f'{count}{other_way}'
            )
