"""Plan a distillation: choose what is compared, and write it as a config."""

import copy
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from torch import nn

from mmkd.api.dry_run import take_a_step
from mmkd.api.run_settings import (
    Launcher,
    batch_settings,
    epoch_length,
    seed_settings,
    tensorboard_settings,
)
from mmkd.api.sources import (
    Files,
    Model,
    Source,
    model_settings,
    plain_settings,
    read_source,
)
from mmkd.checking.setting_names import check_options
from mmkd.models.heads import classifying_heads
from mmkd.pairing import default_size, trace
from mmkd.pairing.inspection.head_classes import classes_of
from mmkd.pairing.inspection.model_kind import has_masks
from mmkd.pairing.methods import Pair, choose_method
from mmkd.pairing.methods.method_options import set_options
from mmkd.pairing.writing.config_text import Expression, assignments, docstring
from mmkd.pairing.writing.own_data import Data, OwnData, data_settings
from mmkd.pairing.writing.resizing import as_size, size_settings
from mmkd.pairing.writing.runtime import mixed_precision, runtime_settings
from mmkd.pairing.writing.schedule import (
    checked_epochs,
    counts_iterations,
    epoch_hooks,
    epoch_settings,
    plain_hooks,
)
from mmkd.pairing.writing.settings import Settings, merge, nested
from mmkd.storage.atomic_write import save_atomically, write_atomically

Decisions = list[tuple[str, str]]
STUDENT = 'student'  # the method of the student alone
# Settings that stand before the data sets which use them.
PIPELINES = ('_pipeline', '_images')


@dataclass(frozen=True)
class Plan:
    """A distillation that is decided, but not written yet.

    Attributes:
        method: The method; ``'student'`` trains the student alone.
        seed: The run's seed. None leaves it to the config.
        path: Where :meth:`write` puts the config.
        text: The config file.
        decisions: Topic and text of each decision.
        work_dir: Folder of the run.
        files: Files that the config refers to, with their content: the text of a config, or the
            weights of a built model.
        dist_cfg: Arguments of MMEngine's ``init_dist``.
    """

    method: str
    seed: int | None
    path: Path
    text: str
    decisions: Decisions
    work_dir: Path
    files: Mapping[Path, Any] = field(default_factory=dict, repr=False)
    dist_cfg: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        lines = [*self.decisions, ('config', str(self.path))]
        return '\n'.join(f'{topic:<10} {text}' for topic, text in lines)

    def write(self) -> Path:
        """Write the config and the files that it refers to, and return the config's path.

        Raises:
            FileExistsError: If a config of other settings is there already, perhaps edited.
        """
        contents = {**self.files, self.path: self.text}
        texts = {path: text for path, text in contents.items() if isinstance(text, str)}
        for path, text in texts.items():
            if path.exists() and path.read_text() != text:
                raise FileExistsError(
                    f'{path}: already there, with other content; run it with `mmkd train`, remove '
                    'it, or choose another work_dir'
                )
        for path, content in contents.items():
            if path in texts:
                write_atomically(content.encode(), path)
            else:
                save_atomically(dict(state_dict=content), path)
        return self.path

    def check(self) -> str:
        """Take one training step and predict one validation batch, in a temporary folder.

        This finds what stops a run at its start: settings, images, annotations and losses that do
        not fit. Weights that would have to be downloaded are random, and so are those of a teacher
        whose checkpoint is not there yet.

        Returns:
            What was done, and which weights were random.

        Raises:
            FileNotFoundError: If an image or a file is missing.
            FloatingPointError: If a loss is not finite.
            ValueError: If something does not fit.
        """
        return take_a_step(self.path)


def plan(
    *,
    teacher: Model,
    student: Model,
    teacher_checkpoint: str | Path | None = None,
    method: str | None = None,
    data: Data | None = None,
    epochs: int | None = None,
    image_size: int | Sequence[int] | None = None,
    batch_size: int | None = None,
    work_dir: str | Path = 'work_dirs',
    method_options: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    evaluate_teacher: bool = True,
    seed: int | None = None,
    tensorboard: bool = False,
    launcher: Launcher = 'none',
) -> Plan:
    """Decide how a student is distilled, without training it.

    Both models run once on a black image. Their outputs tell which levels, features or logits the
    method compares. Nothing is written before :meth:`Plan.write`.

    The arguments are those of :func:`mmkd.distill`, which documents them, for one method and one
    seed. The method ``'student'`` plans the training of the student alone. A teacher's checkpoint
    may be missing until the training starts.

    Returns:
        The decisions and the text of the config.

    Raises:
        FileNotFoundError: If a file or folder is missing.
        TypeError: If a model is neither a path, a config nor a module.
        ValueError: If an argument does not fit the models, or the models do not fit each other.

    Example:
        >>> plan = mmkd.plan(
        ...     teacher='mmdet::gfl/gfl_r101_fpn_ms-2x_coco.py',
        ...     teacher_checkpoint='gfl_r101.pth',
        ...     student='mmdet::gfl/gfl_r50_fpn_1x_coco.py',
        ... )  # doctest: +SKIP
        >>> print(plan)  # doctest: +SKIP
    """
    student_source = read_source('student', student)
    teacher_source = read_source('teacher', teacher)
    base = student_source.config
    alone = method == STUDENT
    if not alone:
        method, fit = choose_method(method, base, teacher_source.config)
    networks = [student_source] if alone else [teacher_source, student_source]
    names = [str(method), *(source.name for source in networks)]
    run = Path(work_dir) / '_'.join(
        [*names, *_given_names(data, epochs, image_size, batch_size, seed)]
    )
    files = Files(run)
    check_options(base, {k: v for k, v in (options or {}).items() if not k.startswith('model.')})
    given = nested(options or {})
    distiller_options = given.get('model', {}).pop('distiller', {})

    own = OwnData({}, [], []) if data is None else data_settings(base, data, run)
    settings, classes, decisions = own.settings, own.classes, [*own.decisions]
    files.content.update(own.files)
    size, hooks = None, None
    if image_size is not None:
        size = as_size(image_size)
        resized, hooks, changes = size_settings(base, size)
        merge(settings, resized)
        decisions += [('image size', text) for text in changes]
    merge(settings, dict(work_dir=str(run)))
    if base.get('load_from'):
        settings['load_from'] = None  # these are the student's weights, not the distillation's
    changed, rates = batch_settings(base, batch_size, auto_scale_lr, given, launcher)
    merge(settings, changed)
    decisions += [('lr', text) for text in rates]
    if epochs is not None or data is not None or batch_size is not None:
        merged = copy.deepcopy(settings)
        merge(merged, given)
        changed, hooks, changes = _schedule(base, epochs, hooks, merged, own.files, launcher)
        merge(settings, changed)
        decisions += [('schedule', text) for text in changes]
    if amp:
        if get_device() == 'cpu':
            raise ValueError('amp: expected a GPU, this machine has none')
        merge(settings, mixed_precision(base))
    if seed is not None:
        merge(settings, seed_settings(seed, given))
    if tensorboard:
        merge(settings, tensorboard_settings(base))

    if alone:
        model = plain_settings(student_source, files, classes, given.pop('model', {}))
        merge(settings, runtime_settings(base, changed_hooks=hooks))
        merge(settings, given)
        settings = dict(model=model, **settings)
        fitted_decisions: Decisions = [('student', f'{student_source.name} alone')]
    else:
        model = model_settings(student_source, teacher_source, files, teacher_checkpoint, classes)
        merge(model, given.pop('model', {}))
        built = [
            student_source.build(model['architecture']),
            teacher_source.build(model['teacher']),
        ]
        reason = _why_teacher_is_not_evaluated(
            {**base, **settings, **given}, student_source, teacher_source, built
        )
        if reason and evaluate_teacher:
            decisions.append(('evaluation', reason))
        evaluate_teacher = evaluate_teacher and not reason
        merge(
            settings,
            runtime_settings(base, changed_hooks=hooks, evaluate_teacher=evaluate_teacher),
        )
        merge(settings, given)
        calls = [trace(each, default_size(base, size)) for each in built]
        fitted = fit(Pair(calls[0], calls[1], (classes_of(built[0]), classes_of(built[1]))))
        distiller = copy.deepcopy(fitted.distiller)
        set_options(distiller['losses'], method_options or {})
        merge(distiller, distiller_options)
        merge(model, {**fitted.model, 'distiller': Expression('distiller')})
        settings = dict(distiller=distiller, model=model, **settings)
        fitted_decisions = fitted.decisions
    title = f'{method}: {" teaches ".join(source.name for source in networks)}.'
    text = _text(title, fitted_decisions, files.config(student_source), settings)
    return Plan(
        method=str(method),
        seed=seed,
        path=run.with_name(f'{run.name}.py'),
        text=text,
        decisions=[*fitted_decisions, *decisions],
        work_dir=run,
        files=files.content,
        dist_cfg=(base.get('env_cfg') or {}).get('dist_cfg') or {},
    )


def _given_names(
    data: Data | None,
    epochs: int | None,
    image_size: int | Sequence[int] | None,
    batch_size: int | None,
    seed: int | None,
) -> list[str]:
    """What the caller gave, for the name of the run's folder."""
    folder = data.get('root') if isinstance(data, Mapping) else data
    names = [] if folder is None else [Path(folder).resolve().name]
    if image_size is not None:
        names.append('x'.join(map(str, [*dict.fromkeys(as_size(image_size))])))
    names += [] if epochs is None else [f'{epochs}e']
    names += [] if batch_size is None else [f'b{batch_size}']
    return names + ([] if seed is None else [f'seed{seed}'])


def _schedule(
    base: Config,
    epochs: int | None,
    hooks: list[dict] | None,
    settings: Settings,
    files: Mapping[Path, str],
    launcher: Launcher,
) -> tuple[Settings, list[dict] | None, list[str]]:
    """The schedule's settings, the custom hooks if they are changed, and the changes as text."""
    if epochs is not None:
        checked_epochs(base, epochs)
    length = epoch_length(base, settings, launcher, files) if counts_iterations(base) else None
    changed, changes = epoch_settings(base, epochs, length)
    if epochs is not None:
        before = plain_hooks(base) if hooks is None else hooks
        after, more = epoch_hooks(before, base.train_cfg.max_epochs, epochs)
        hooks = hooks if after == before else after
        changes += more
    return changed, hooks, changes


def _why_teacher_is_not_evaluated(
    cfg: Mapping[str, Any],
    student_source: Source,
    teacher_source: Source,
    built: Sequence[nn.Module],
) -> str:
    """Why the teacher cannot be evaluated as the student is; empty if it can."""
    if cfg.get('val_dataloader') is None:
        return 'none, as there is no validation data'
    student, teacher = (_class_counts(model) for model in built)
    if student != teacher:
        found = [', '.join(map(str, sorted(each))) or 'no' for each in (teacher, student)]
        return f'the student alone: the teacher has {found[0]} classes, the data {found[1]}'
    if has_masks(student_source.config) and not has_masks(teacher_source.config):
        return 'the student alone: the teacher predicts no masks'
    return ''


def _class_counts(model: nn.Module) -> set[Any]:
    return {head.num_classes for _, head in classifying_heads(model)}


def _text(title: str, decisions: Decisions, base: str, settings: Settings) -> str:
    """The config file."""
    head = [title, '', 'mmkd wrote this config. Edit it, then run it with `mmkd train`.', '']
    for topic, text in decisions:
        head += textwrap.wrap(f'{topic}: {text}', 98, subsequent_indent='    ')
    pipelines = {name: v for name, v in settings.items() if name.endswith(PIPELINES)}
    code = assignments({'_base_': [base], **pipelines, **settings})
    return f'{docstring(head)}\n\n{code}'
