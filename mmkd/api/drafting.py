"""The settings of a planned run, put together part by part."""

import copy
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.device import get_device
from torch import nn

from mmkd.api.run_settings import (
    Launcher,
    batch_settings,
    epoch_length,
    process_count,
    seed_settings,
    tensorboard_settings,
)
from mmkd.api.sources import Files, Source, model_settings, plain_settings
from mmkd.models.heads import classifying_heads
from mmkd.pairing import default_size, trace
from mmkd.pairing.inspection.class_names_of import class_names_of, same_classes
from mmkd.pairing.inspection.head_classes import classes_of
from mmkd.pairing.inspection.model_kind import has_masks, is_classifier
from mmkd.pairing.inspection.trace import Size
from mmkd.pairing.methods import Method, Pair
from mmkd.pairing.methods.method_options import set_options
from mmkd.pairing.writing.config_text import Expression
from mmkd.pairing.writing.own_data import OwnData
from mmkd.pairing.writing.resizing import size_settings
from mmkd.pairing.writing.runtime import mixed_precision, runtime_settings
from mmkd.pairing.writing.schedule import (
    checked_epochs,
    counts_iterations,
    epoch_hooks,
    epoch_settings,
    plain_hooks,
)
from mmkd.pairing.writing.settings import Settings, merge
from mmkd.pairing.writing.unlabeled_data import label_settings, unlabeled_data
from mmkd.storage.checkpoint import class_names, read_checkpoint

Decisions = list[tuple[str, str]]


@dataclass
class Draft:
    """What a run changes in the student's config, so far.

    Attributes:
        base: The student's config.
        given: Nested settings that the caller gives.
        own: Your data.
        files: Files that the run needs.
        launcher: How the processes were started.
        work_dir: Folder of the run.
        settings: The settings of the run.
        decisions: Topic and text of each decision.
        size: Height and width of the images; None leaves them to the config.
        hooks: The custom hooks, if they are others than the config's.
    """

    base: Config
    given: Settings
    own: OwnData
    files: Files
    launcher: Launcher
    work_dir: Path
    settings: Settings = field(init=False)
    decisions: Decisions = field(init=False)
    size: Size | None = None
    hooks: list[dict] | None = None

    def __post_init__(self) -> None:
        self.settings = dict(self.own.settings, work_dir=str(self.work_dir))
        self.decisions = [*self.own.decisions]
        self.files.content.update(self.own.files)
        if self.base.get('load_from'):
            # These are the student's weights, not the distillation's.
            self.settings['load_from'] = None

    def resize(self, size: Size | None) -> None:
        """Train and evaluate on images of a size."""
        self.size = size
        if size is not None:
            resized, self.hooks, changes = size_settings(self.base, size)
            self._change('image size', resized, changes)

    def set_batch(self, batch_size: int | None, auto_scale_lr: bool) -> None:
        """Train on batches of a size."""
        changed, rates = batch_settings(
            self.base, batch_size, auto_scale_lr, self.given, self.launcher
        )
        self._change('lr', changed, rates)

    def set_length(self, epochs: int | None, batch_size: int | None) -> None:
        """Fit the schedule to the number of epochs and their length."""
        if epochs is not None:
            checked_epochs(self.base, epochs)
        length = None
        # A data set of the config might have to be downloaded.
        if (batch_size and self.own.classes) or counts_iterations(self.base):
            merged = copy.deepcopy(self.settings)
            merge(merged, self.given)
            length = epoch_length(self.base, merged, self.launcher, self.own.files, batch_size)
        changed, changes = epoch_settings(self.base, epochs, length)
        if epochs is not None:
            before = plain_hooks(self.base) if self.hooks is None else self.hooks
            after, more = epoch_hooks(before, self.base.train_cfg.max_epochs, epochs)
            self.hooks = self.hooks if after == before else after
            changes += more
        self._change('schedule', changed, changes)

    def set_runtime(self, *, amp: bool, seed: int | None, tensorboard: bool) -> None:
        """Set precision, seed and logs.

        Raises:
            ValueError: If there is no GPU for mixed precision.
        """
        if amp:
            if get_device() == 'cpu':
                raise ValueError('amp: expected a GPU, this machine has none')
            merge(self.settings, mixed_precision(self.base))
        if seed is not None:
            merge(self.settings, seed_settings(seed, self.given))
        if tensorboard:
            merge(self.settings, tensorboard_settings(self.base))

    def _change(self, topic: str, settings: Settings, changes: Sequence[str]) -> None:
        merge(self.settings, settings)
        self.decisions += [(topic, text) for text in changes]


def finish_student(draft: Draft, student: Source) -> Decisions:
    """Add the model of the student alone to a draft, and what the caller gives.

    Returns:
        What was decided of the model.
    """
    model = plain_settings(student, draft.files, draft.own.classes, draft.given.pop('model', {}))
    merge(
        draft.settings,
        runtime_settings(draft.base, changed_hooks=draft.hooks, has_teacher=False),
    )
    merge(draft.settings, draft.given)
    draft.settings = dict(model=model, **draft.settings)
    return [('student', f'{student.name} alone')]


def finish_distillation(
    draft: Draft,
    student: Source,
    teacher: Source,
    fit: Method,
    *,
    teacher_checkpoint: str | Path | None,
    method_options: Mapping[str, Any],
    evaluate_teacher: bool,
    unlabeled: Mapping[str, Any] | None = None,
) -> Decisions:
    """Add the algorithm to a draft, and what the caller gives.

    Returns:
        What was decided of the model.
    """
    given_model = draft.given.pop('model', {})
    given_distiller = given_model.pop('distiller', {})
    model = model_settings(student, teacher, draft.files, teacher_checkpoint, draft.own.classes)
    merge(model, given_model)
    built = [student.build(model['architecture']), teacher.build(model['teacher'])]
    names = _ClassNames(
        student=draft.own.classes or class_names_of(draft.base, _head_classes(built[0])),
        teacher=_classes_of_teacher(teacher, teacher_checkpoint, _head_classes(built[1])),
    )
    cfg = {**draft.base, **draft.settings, **draft.given}
    reason, labels = _evaluation_of_teacher(cfg, student, teacher, built, names)
    if reason and evaluate_teacher:
        draft.decisions.append(('evaluation', reason))
    merge(
        draft.settings,
        runtime_settings(
            draft.base,
            changed_hooks=draft.hooks,
            evaluate_teacher=evaluate_teacher and (not reason or labels is not None),
            labels=labels,
        ),
    )
    if unlabeled is not None:
        model['pseudo_labels'] = _add_unlabeled(draft, unlabeled, names, built)
    merge(draft.settings, draft.given)
    calls = [trace(each, default_size(draft.base, draft.size)) for each in built]
    classes = classes_of(built[0]), classes_of(built[1])
    fitted = fit(Pair(calls[0], calls[1], classes, _labels_of_teacher(names, built)))
    distiller = copy.deepcopy(fitted.distiller)
    set_options(distiller['losses'], method_options)
    merge(distiller, given_distiller)
    merge(model, {**fitted.model, 'distiller': Expression('distiller')})
    draft.settings = dict(distiller=distiller, model=model, **draft.settings)
    return fitted.decisions


class _ClassNames(NamedTuple):
    """Names of the classes of both models; none where they are not known."""

    student: Sequence[str]
    teacher: Sequence[str]


def _head_classes(model: nn.Module) -> int | None:
    classes = classes_of(model)
    return None if classes is None else classes.number


def _classes_of_teacher(
    teacher: Source, checkpoint: str | Path | None, count: int | None
) -> Sequence[str]:
    """Names of the teacher's classes: those of its checkpoint, if it is here and has any."""
    names = None
    if checkpoint is not None and (path := Path(checkpoint)).is_file():
        names = _classes_in(str(path), path.stat().st_mtime_ns)
    return class_names_of(teacher.config, count) if names is None else names


@functools.cache
def _classes_in(checkpoint: str, _modified: int) -> tuple[str, ...] | None:
    """Names of the classes in a checkpoint; the runs of a comparison read a large file once."""
    return class_names(read_checkpoint(checkpoint))


def _labels_of_teacher(names: _ClassNames, built: Sequence[nn.Module]) -> tuple[int, ...] | None:
    """The teacher's label of each of the student's classes, if it has more and all have names."""
    counts = [_head_classes(model) for model in built]
    if counts[0] == counts[1] or counts != [len(names.student), len(names.teacher)]:
        return None
    label_of = {own: label for label, own in same_classes(names.student, names.teacher).items()}
    if len(label_of) < len(names.student):
        return None
    return tuple(label_of[own] for own in range(len(names.student)))


def _add_unlabeled(
    draft: Draft, options: Mapping[str, Any], names: _ClassNames, built: Sequence[nn.Module]
) -> Settings:
    """Add unlabeled images to a draft. Returns what the algorithm does with them."""
    data = unlabeled_data(
        draft.base,
        draft.settings,
        options,
        draft.work_dir,
        draft.files.content,
        process_count(draft.launcher),
    )
    # It stands before the loop that names it.
    draft.settings = dict(data.settings) | draft.settings | data.settings
    draft.files.content.update(data.files)
    draft.decisions += data.decisions
    if is_classifier(draft.base):
        draft.decisions.append(('unlabeled', 'for the distillation losses alone'))
        student, teacher = map(_class_counts, built)
        # The teacher's class is the label, if it is one of the student's; no loss may need it then.
        return dict(weight=0.0) if student == teacher else dict(weight=0.0, labels={})
    counts = _head_classes(built[0]), _head_classes(built[1])
    settings, text = label_settings(options, names.student, names.teacher, counts)
    draft.decisions.append(('labels', text))
    return settings


def _evaluation_of_teacher(
    cfg: Mapping[str, Any],
    student_source: Source,
    teacher_source: Source,
    built: Sequence[nn.Module],
    names: _ClassNames,
) -> tuple[str, dict[int, int] | None]:
    """How the teacher is evaluated.

    Returns:
        What differs from the student's evaluation, and the label of the data for each of the
        teacher's labels. Without labels, a teacher that differs cannot be evaluated.
    """
    if cfg.get('val_dataloader') is None:
        return 'none, as there is no validation data', None
    if has_masks(student_source.config) and not has_masks(teacher_source.config):
        return 'the student alone: the teacher predicts no masks', None
    student, teacher = (_class_counts(model) for model in built)
    if student == teacher:
        return '', None
    found = [', '.join(map(str, sorted(each))) or 'no' for each in (teacher, student)]
    differ = f'the teacher has {found[0]} classes, the data {found[1]}'
    # A classifier chooses among all of its classes, also those that the data lacks.
    is_detector = not is_classifier(student_source.config)
    labels = same_classes(names.student, names.teacher) if is_detector else {}
    if {*labels.values()} != {*range(len(names.student))} or not labels:
        return f'the student alone: {differ}', None
    return f'{differ}; of the teacher, those of the same names count', labels


def _class_counts(model: nn.Module) -> set[Any]:
    return {head.num_classes for _, head in classifying_heads(model)}
