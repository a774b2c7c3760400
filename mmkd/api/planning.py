"""Plan a distillation: choose what is compared, and write it as a config."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from mmkd.api.arguments import (
    check_data,
    check_paths,
    check_places,
    check_switches,
    checked_count,
    checked_options,
    checked_seed,
)
from mmkd.api.drafting import Decisions, Draft, finish_distillation, finish_student
from mmkd.api.dry_run import take_a_step
from mmkd.api.run_settings import Launcher
from mmkd.api.sources import Files, Model, read_source
from mmkd.checking.setting_names import check_options
from mmkd.functional.checks import check_choice
from mmkd.pairing.inspection.trace import Size
from mmkd.pairing.methods import choose_method
from mmkd.pairing.writing.config_text import assignments, docstring
from mmkd.pairing.writing.own_data import Data, OwnData, data_settings
from mmkd.pairing.writing.resizing import as_size
from mmkd.pairing.writing.settings import Settings, nested
from mmkd.pairing.writing.unlabeled_data import Unlabeled, read_unlabeled
from mmkd.storage.atomic_write import save_atomically, write_atomically

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

    def absent(self) -> list[Path]:
        """Return the files of :meth:`write` that are not there."""
        return [path for path in (*self.files, self.path) if not path.exists()]

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
    unlabeled: Unlabeled | None = None,
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
        TypeError: If a model is neither a path, a config nor a module, or an argument has a wrong
            type.
        ValueError: If an argument does not fit the models, or the models do not fit each other.

    Example:
        >>> plan = mmkd.plan(
        ...     teacher='mmdet::gfl/gfl_r101_fpn_ms-2x_coco.py',
        ...     teacher_checkpoint='gfl_r101.pth',
        ...     student='mmdet::gfl/gfl_r50_fpn_1x_coco.py',
        ... )  # doctest: +SKIP
        >>> print(plan)  # doctest: +SKIP
    """
    check_switches(
        amp=amp,
        auto_scale_lr=auto_scale_lr,
        evaluate_teacher=evaluate_teacher,
        tensorboard=tensorboard,
    )
    check_choice('launcher', launcher, get_args(Launcher))
    check_data(data)
    check_paths(work_dir=work_dir)
    if teacher_checkpoint is not None:
        check_paths(teacher_checkpoint=teacher_checkpoint)
    epochs, batch_size = checked_count('epochs', epochs), checked_count('batch_size', batch_size)
    seed = None if seed is None else checked_seed('seed', seed)
    size = None if image_size is None else as_size(image_size)
    options = checked_options('options', options)
    method_options = checked_options('method_options', method_options)
    check_places(options, epochs=epochs, batch_size=batch_size)

    student_source = read_source('student', student)
    teacher_source = read_source('teacher', teacher)
    base = student_source.config
    alone = method == STUDENT
    if not alone:
        method, fit = choose_method(method, base, teacher_source.config)
    sources = [student_source] if alone else [teacher_source, student_source]
    # The student alone has no teacher that could label images.
    extra = None if alone or unlabeled is None else read_unlabeled(base, unlabeled)
    names = [str(method), *(source.name for source in sources)]
    names += _given_names(data, epochs, size, batch_size, seed)
    if extra is not None:
        names.append(f'unlabeled-{Path(extra["images"]).resolve().name}')
    run = Path(work_dir) / '_'.join(names)
    check_options(base, {k: v for k, v in options.items() if not k.startswith('model.')})

    own = OwnData({}, [], []) if data is None else data_settings(base, data, run)
    draft = Draft(base, nested(options), own, Files(run), launcher, run)
    draft.resize(size)
    draft.set_batch(batch_size, auto_scale_lr)
    if epochs is not None or data is not None or batch_size is not None:
        draft.set_length(epochs, batch_size)
    draft.set_runtime(amp=amp, seed=seed, tensorboard=tensorboard)
    if alone:
        decided = finish_student(draft, student_source)
        if unlabeled is not None:
            decided.append(('unlabeled', 'none, as the student alone has no teacher to label them'))
    else:
        decided = finish_distillation(
            draft,
            student_source,
            teacher_source,
            fit,
            teacher_checkpoint=teacher_checkpoint,
            method_options=method_options,
            evaluate_teacher=evaluate_teacher,
            unlabeled=extra,
        )
    title = f'{method}: {" teaches ".join(source.name for source in sources)}.'
    return Plan(
        method=str(method),
        seed=seed,
        path=run.with_name(f'{run.name}.py'),
        text=_text(title, decided, draft.files.config(student_source), draft.settings),
        decisions=[*decided, *draft.decisions],
        work_dir=run,
        files=draft.files.content,
        dist_cfg=(base.get('env_cfg') or {}).get('dist_cfg') or {},
    )


def _given_names(
    data: Data | None,
    epochs: int | None,
    size: Size | None,
    batch_size: int | None,
    seed: int | None,
) -> list[str]:
    """What the caller gave, for the name of the run's folder."""
    folder = data.get('root') if isinstance(data, Mapping) else data
    names = [] if folder is None else [Path(folder).resolve().name]
    if size is not None:
        names.append('x'.join(map(str, dict.fromkeys(size))))
    names += [] if epochs is None else [f'{epochs}e']
    names += [] if batch_size is None else [f'b{batch_size}']
    return names + ([] if seed is None else [f'seed{seed}'])


def _text(title: str, decisions: Decisions, base: str, settings: Settings) -> str:
    """The config file."""
    head = [title, '', 'mmkd wrote this config. Edit it, then run it with `mmkd train`.', '']
    for topic, text in decisions:
        head += textwrap.wrap(f'{topic}: {text}', 98, subsequent_indent='    ')
    pipelines = {name: v for name, v in settings.items() if name.endswith(PIPELINES)}
    code = assignments({'_base_': [base], **pipelines, **settings})
    return f'{docstring(head)}\n\n{code}'
