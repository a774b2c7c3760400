"""Plan a distillation: choose what is compared, and write it as a config."""

import copy
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from torch import nn

from mmkd.api.sources import Files, Model, Source, model_settings, read_source
from mmkd.models.heads import classifying_heads
from mmkd.pairing import default_size, trace
from mmkd.pairing.inspection.head_classes import classes_of
from mmkd.pairing.inspection.model_kind import has_masks
from mmkd.pairing.methods import Pair, choose_method
from mmkd.pairing.methods.method_options import set_options
from mmkd.pairing.writing.config_text import Expression, assignments, docstring
from mmkd.pairing.writing.own_data import Data, data_settings
from mmkd.pairing.writing.resizing import as_size, size_settings
from mmkd.pairing.writing.runtime import mixed_precision, runtime_settings, scaled_learning_rate
from mmkd.pairing.writing.schedule import epoch_settings, late_hooks
from mmkd.pairing.writing.settings import Settings, merge, nested
from mmkd.registry import MODELS
from mmkd.storage.atomic_write import save_atomically, write_atomically

Launcher = Literal['none', 'pytorch', 'slurm', 'mpi']
Decisions = list[tuple[str, str]]
# Settings that stand before the data sets which use them.
PIPELINES = ('_pipeline', '_images')


@dataclass(frozen=True)
class Plan:
    """A distillation that is decided, but not written yet.

    Attributes:
        path: Where :meth:`write` puts the config.
        text: The config file.
        decisions: Topic and text of each decision.
        work_dir: Folder of the run.
        files: Files that the config refers to, with their content: the text of a config, or the
            weights of a built model.
        dist_cfg: Arguments of MMEngine's ``init_dist``.
    """

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

    def check(self) -> None:
        """Build what the written config describes, the teacher with its weights.

        Raises:
            ValueError: If something does not fit.
        """
        cfg = Config.fromfile(self.path)
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
            MODELS.build(cfg.model)


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
    launcher: Launcher = 'none',
) -> Plan:
    """Decide how a student is distilled, without training it.

    Both models run once on a black image. Their outputs tell which levels, features or logits the
    method compares. Nothing is written before :meth:`Plan.write`.

    The arguments are those of :func:`mmkd.distill`, which documents them.

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
    student_source, teacher_source = (
        read_source('student', student),
        read_source('teacher', teacher),
    )
    base = student_source.config
    method, fit = choose_method(method, base, teacher_source.config)
    run = Path(work_dir) / f'{method}_{teacher_source.name}_{student_source.name}'
    files = Files(run)
    given = nested(options or {})
    distiller_options = given.get('model', {}).pop('distiller', {})

    settings, classes = data_settings(base, data) if data is not None else ({}, [])
    decisions = [('data', f'{len(classes)} classes: {", ".join(classes)}')] if classes else []
    size, hooks = None, None
    if image_size is not None:
        size = as_size(image_size)
        resized, hooks, changes = size_settings(base, size)
        merge(settings, resized)
        decisions += [('image size', text) for text in changes]
    merge(settings, _schedule(base, run, epochs, batch_size, amp, auto_scale_lr))
    if late := late_hooks(base, epochs):
        decisions.append(('schedule', f'never reached in {epochs} epochs: {late}'))
    model = model_settings(student_source, teacher_source, files, teacher_checkpoint, classes)
    merge(model, given.pop('model', {}))

    built = [student_source.build(model['architecture']), teacher_source.build(model['teacher'])]
    reason = _why_teacher_is_not_evaluated(
        {**base, **settings, **given}, student_source, teacher_source, built
    )
    if reason and evaluate_teacher:
        decisions.append(('evaluation', reason))
    evaluate_teacher = evaluate_teacher and not reason
    merge(settings, runtime_settings(base, changed_hooks=hooks, evaluate_teacher=evaluate_teacher))
    merge(settings, given)

    calls = [trace(each, default_size(base, size)) for each in built]
    fitted = fit(Pair(calls[0], calls[1], (classes_of(built[0]), classes_of(built[1]))))
    distiller = copy.deepcopy(fitted.distiller)
    set_options(distiller['losses'], method_options or {})
    merge(distiller, distiller_options)
    merge(model, {**fitted.model, 'distiller': Expression('distiller')})
    title = f'{method}: {teacher_source.name} teaches {student_source.name}.'
    settings = dict(distiller=distiller, model=model, **settings)
    text = _text(title, fitted.decisions, files.config(student_source), settings)
    return Plan(
        path=run.with_name(f'{run.name}.py'),
        text=text,
        decisions=[*fitted.decisions, *decisions],
        work_dir=run,
        files=files.content,
        dist_cfg=(base.get('env_cfg') or {}).get('dist_cfg') or {},
    )


def _schedule(
    base: Config,
    run: Path,
    epochs: int | None,
    batch_size: int | None,
    amp: bool,
    auto_scale_lr: bool,
) -> Settings:
    """Where the run is, how long it trains, and how."""
    settings: Settings = dict(work_dir=str(run))
    if base.get('load_from'):
        settings['load_from'] = None  # these are the student's weights, not the distillation's
    if epochs is not None:
        settings |= epoch_settings(base, epochs)
    if batch_size is not None:
        settings['train_dataloader'] = dict(batch_size=batch_size)
    if amp:
        if get_device() == 'cpu':
            raise ValueError('amp: expected a GPU, this machine has none')
        settings |= mixed_precision(base)
    if auto_scale_lr:
        settings |= scaled_learning_rate(base)
    return settings


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
