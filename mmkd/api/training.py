"""Distill a student: plan, train, export, compare."""

import gc
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import barrier, init_dist, is_distributed, is_main_process
from mmengine.logging import print_log

from mmkd.api.arguments import check_switches, checked_seeds
from mmkd.api.comparing import compare
from mmkd.api.planning import STUDENT, Plan, plan
from mmkd.api.records import HistoryHook, Metrics, Record, checkpoints_in, digest_of
from mmkd.api.run_settings import Launcher
from mmkd.api.running import build_runner, close_process_group, load_config, train
from mmkd.api.sources import Model
from mmkd.exporting import export
from mmkd.hooks import TeacherEvaluationHook
from mmkd.pairing.writing.own_data import Data
from mmkd.pairing.writing.unlabeled_data import Unlabeled
from mmkd.reporting import report as write_report
from mmkd.storage.latest_checkpoint import latest_checkpoint


@dataclass(frozen=True)
class StudentRun:
    """A trained student.

    Attributes:
        config: The config that was trained.
        config_path: Its file, for ``mmkd train``.
        checkpoint: The exported student: a plain checkpoint of MMDetection or MMPretrain. Its plain
            config lies beside it. For the student alone this is the run's last checkpoint.
        metrics: The metrics of the last validation by ``'student'``, and those of the teacher by
            ``'teacher'``. They are empty without validation, or if the teacher was not evaluated.
        history: The student's metrics, the ``'epoch'`` and the ``'iteration'`` of each validation.
        work_dir: Folder of logs and checkpoints.
        decisions: Topic and text of what was decided.
        method: The method; ``'student'`` for the student alone.
        seed: The seed; None if the call gave none.
    """

    config: Config = field(repr=False)
    config_path: Path
    checkpoint: Path
    metrics: dict[str, Metrics]
    history: list[Metrics] = field(repr=False)
    work_dir: Path
    decisions: list[tuple[str, str]] = field(repr=False)
    method: str
    seed: int | None


@dataclass(frozen=True)
class Result(StudentRun):
    """A finished distillation: its first student, and all runs of several.

    Attributes:
        runs: All runs, also of the student alone.
        table: The runs as a Markdown table; empty without validation.
        findings: What each gain over the student alone shows, in a sentence.
        report: The page about the runs (see :func:`mmkd.report`), in the folder of the first
            student; None if it was not asked for, or could not be written.
    """

    runs: list[StudentRun] = field(repr=False)
    table: str = field(repr=False)
    findings: list[str] = field(repr=False)
    report: Path | None = None


def distill(
    *,
    teacher: Model,
    student: Model,
    teacher_checkpoint: str | Path | None = None,
    method: str | Sequence[str] | None = None,
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
    seeds: int | Sequence[int] | None = None,
    baseline: bool = False,
    resume: bool = False,
    tensorboard: bool = False,
    report: bool = True,
    launcher: Launcher = 'none',
) -> Result:
    """Train a student with its teacher, and export it as a plain model.

    Writes the config ``WORK_DIR/METHOD_TEACHER_STUDENT.py`` and runs it in the folder of the same
    name. The name goes on with what you give of data, image size, epochs, batch size and seed:
    ``..._pets_640_12e_b8_seed0``. The config inherits data and schedule from the student's config;
    edit it and run it again with ``mmkd train``.

    Nothing is trained twice or overwritten: the same call again returns the results of finished
    runs. Several methods, seeds or a baseline are trained one after the other and compared in a
    table.

    Args:
        teacher: The teacher: the path of a config (``'mmdet::...'`` or ``'mmpretrain::...'`` for
            those of the packages), an MMEngine ``Config``, or a built model that carries its config
            (of MMDetection's ``init_detector`` or MMPretrain's ``get_model``).
        student: The student, as the teacher. A built model starts from its weights. Its config
            decides on everything that no other argument changes.
        teacher_checkpoint: File or URL of the teacher's weights. A built teacher needs none.
        method: For detectors ``'pkd'`` (default), ``'pcka'``, ``'pcka-mimic'``, ``'mimic'``,
            ``'cwd'``, ``'mgd'``, ``'rcka'``, ``'fkd'``, ``'cckd'``, ``'dlkd'``, ``'kd'``,
            ``'dist'``, ``'cmkd'``, ``'scores'``, ``'boxes'`` or ``'recipe'``. For classifiers
            ``'dist'`` (default), ``'kd'``, ``'dkd'``, ``'rkd'``, ``'rcka'``, ``'fkd'``, ``'cckd'``,
            ``'cmkd'`` or ``'dlkd'``. Several are compared.
        data: Your data. For detectors a folder with COCO annotations: ``train.json`` and
            ``val.json`` with images in ``train/`` and ``val/``, or ``annotations/`` beside the
            images. For classifiers a folder with ``train/CLASS/...`` and ``val/CLASS/...``. Or name
            the files: ``dict(train=('train.json', 'images/'), val=('val.json', 'images/'))``, for
            classifiers ``dict(train='train/', val='val/')``. Default: the student config's data.
        unlabeled: A folder of images without annotations, from which the student learns as well.
            Each step adds a batch of them to the distillation losses. For a detector, the teacher's
            confident boxes are their ground truth. Images that are in the training or validation
            data are left out. Or ``dict(images=FOLDER, batch_size=8, score=0.3, weight=1.0,
            classes=dict(TEACHER_NAME='student name'))``: images in a step (default: as many as
            labeled ones), smallest score of a box, weight of the student's losses on these boxes,
            and classes that differ in name. Classifiers take the first two. The student alone does
            not use them.
        epochs: Number of epochs; the schedule is stretched to it, and a warm-up of iterations
            takes at most a tenth of the run. Default: the config's.
        image_size: Side of a square, or (height, width), for training and evaluation. Images whose
            aspect ratio is kept fit into it. Default: the config's.
        batch_size: Training images per process. The learning rate is scaled with it if the config
            names the batch size that it belongs to. Default: the config's.
        work_dir: Folder for the config and for the folder of the run.
        method_options: Arguments of the method's losses, such as ``dict(loss_weight=5.0)`` for all
            losses that take it, or ``dict(mimic=dict(loss_weight=2.0))`` for one.
        options: Settings of the config by dotted key, such as
            ``{'optim_wrapper.optimizer.lr': 0.01}``.
        amp: Train with automatic mixed precision (needs a GPU).
        auto_scale_lr: Scale the learning rate by the total batch size over the batch size that the
            config's learning rate belongs to.
        evaluate_teacher: Evaluate the teacher before training, if it has the classes of the data
            and there is validation data.
        seeds: Seed of the run, or several: every method is trained with each. Default: the
            config's seed; 0 for a comparison.
        baseline: Also train the student alone, on the same data, schedule and seeds.
        resume: Continue runs that were interrupted.
        tensorboard: Log for TensorBoard, too.
        report: Write ``report.html`` at the end, which predicts the validation images once more.
        launcher: How the processes were started: ``'none'``, ``'pytorch'`` (torchrun), ``'slurm'``
            or ``'mpi'``. The first process writes and prints.

    Returns:
        The config, the exported student, the metrics and their history; all runs and their table.

    Raises:
        FileExistsError: If the config's file holds other settings, or a run is there unfinished
            and ``resume`` is False.
        FileNotFoundError: If a file or folder is missing.
        TypeError: If a model is neither a path, a config nor a module.
        ValueError: If an argument does not fit the models, or the models do not fit each other.

    Example:
        >>> result = mmkd.distill(
        ...     teacher='mmdet::gfl/gfl_r101_fpn_ms-2x_coco.py',
        ...     teacher_checkpoint='gfl_r101.pth',
        ...     student='mmdet::gfl/gfl_r50_fpn_1x_coco.py',
        ...     data='data/pets',
        ...     epochs=12,
        ... )  # doctest: +SKIP
        >>> result.metrics['student']['coco/bbox_mAP']  # doctest: +SKIP
    """
    arguments = dict(locals())
    check_switches(baseline=baseline, resume=resume, report=arguments.pop('report'))
    _check_checkpoint(teacher_checkpoint)
    plans = plans_of(**arguments)
    joins = launcher != 'none' and not is_distributed()
    if joins:
        init_dist(launcher, **plans[0].dist_cfg)
    new = [path for planned in plans for path in planned.absent()] if is_main_process() else []
    try:
        if is_main_process():
            for planned in plans:
                print(planned)
                planned.write()
        barrier()
        made_of = [_check_folder(planned, resume) for planned in plans]
    except FileExistsError:
        for path in new:  # so that they do not stand in the way of the next try
            path.unlink(missing_ok=True)
        raise
    barrier()
    runs = [_run(*each, launcher) for each in zip(plans, made_of, strict=True)]
    first = next((run for run in runs if run.method != STUDENT), runs[0])
    table, findings = compare(runs)
    if is_main_process() and table:
        print('', table, *findings, '', sep='\n')
    writes = report and is_main_process()  # without the group, each process is the main one
    if joins:
        close_process_group()
    page = _report(runs, first.work_dir) if writes else None
    return Result(**vars(first), runs=runs, table=table, findings=findings, report=page)


def _report(runs: Sequence[StudentRun], folder: Path) -> Path | None:
    """Write the report. The results stand, whatever goes wrong here."""
    try:
        path = write_report(*runs, out=folder / 'report.html')
    except Exception as error:
        print_log(f'report: not written: {error}', 'current', level=logging.WARNING)
        return None
    print(f'{"report":<10} {path}')
    return path


def plans_of(
    *,
    method: str | Sequence[str] | None = None,
    seeds: int | Sequence[int] | None = None,
    baseline: bool = False,
    resume: bool = False,
    **arguments: Any,
) -> list[Plan]:
    """Plan each run of a call of :func:`distill`, those of one seed side by side.

    Raises:
        ValueError: If a method or seed stands there twice, or as :func:`mmkd.plan` does.
    """
    methods = _methods(method, baseline)
    several: Sequence[int | None] = checked_seeds(seeds) or [0 if len(methods) > 1 else None]
    return [plan(**arguments, method=name, seed=seed) for seed in several for name in methods]


def _methods(method: str | Sequence[str] | None, baseline: bool) -> list[str | None]:
    methods: list[Any] = [*method] if isinstance(method, list | tuple) else [method]
    if not methods or any(methods.count(each) > 1 for each in methods):
        raise ValueError(f'method: expected one or several different names, got {method!r}')
    return [STUDENT, *methods] if baseline and STUDENT not in methods else methods


def _check_checkpoint(given: str | Path | None) -> None:
    if given is not None and '://' not in str(given) and not Path(str(given)).is_file():
        what = 'a folder' if Path(str(given)).is_dir() else 'no such file'
        raise FileNotFoundError(f'teacher_checkpoint: expected a file, got {given} ({what})')


def _check_folder(planned: Plan, resume: bool) -> str:
    """Refuse to train where a run of other settings is, or one that was interrupted.

    Returns:
        The digest of the run's config and files.
    """
    made_of, record = digest_of(load_config(str(planned.path))), Record.read(planned.work_dir)
    there = checkpoints_in(planned.work_dir)
    remedy = 'remove the folder, or choose another work_dir'
    if record.made_of not in ('', made_of) and (there or record.is_finished(planned.work_dir)):
        raise FileExistsError(
            f'{planned.work_dir}: holds a run of other settings, or of other files of the same '
            f'names (weights, annotations, configs); {remedy}'
        )
    if there and not resume and not record.is_finished(planned.work_dir):
        raise FileExistsError(
            f'{planned.work_dir}: holds an unfinished run ({there[-1]}); continue it with '
            f'resume=True (--resume), {remedy}'
        )
    return made_of


def _run(planned: Plan, made_of: str, launcher: Launcher) -> StudentRun:
    """Train what is not finished, and return the results."""
    cfg = load_config(str(planned.path))
    if launcher != 'none':
        cfg.launcher = launcher
    record = Record.read(planned.work_dir)
    if record.is_finished(planned.work_dir):
        if is_main_process():
            print(f'{"finished":<10} {planned.work_dir} is trained already; its results are kept')
    else:
        record = _train(planned, made_of, cfg)
    return StudentRun(
        config=cfg,
        config_path=planned.path,
        checkpoint=planned.work_dir / record.checkpoint,
        metrics=record.metrics(),
        history=record.history,
        work_dir=planned.work_dir,
        decisions=planned.decisions,
        method=planned.method,
        seed=planned.seed,
    )


def _train(planned: Plan, made_of: str, cfg: Config) -> Record:
    if checkpoints_in(planned.work_dir) and (latest := latest_checkpoint(planned.work_dir)):
        cfg.resume, cfg.load_from = True, latest
    elif is_main_process():
        Record(made_of=made_of).write(planned.work_dir)
    hook = HistoryHook(made_of)
    runner = build_runner(cfg)
    train(runner, [hook])
    teachers = [h.metrics for h in runner.hooks if isinstance(h, TeacherEvaluationHook)]
    teacher = teachers[0].get('teacher', {}) if teachers else {}
    record = Record(hook.history, teacher, made_of=made_of)
    del runner
    gc.collect()  # the next run needs the memory
    last = Path(latest_checkpoint(planned.work_dir) or '')
    record.checkpoint = last.name if planned.method == STUDENT else 'student.pth'
    if is_main_process():
        if planned.method != STUDENT:
            export(str(last), planned.work_dir / record.checkpoint, config=cfg)
        record.write(planned.work_dir)
        print(f'{"student":<10} {planned.work_dir / record.checkpoint}')
    barrier()
    return record
