"""Distill a student: plan, train, export."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import barrier, init_dist, is_distributed, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner, find_latest_checkpoint

from mmkd.api.planning import Launcher, plan
from mmkd.api.running import build_runner, close_process_group, train
from mmkd.api.sources import Model
from mmkd.exporting import export
from mmkd.hooks import TeacherEvaluationHook
from mmkd.pairing.writing.own_data import Data

Metrics = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """A finished distillation.

    Attributes:
        config: The config that was trained.
        config_path: Its file, for ``mmkd train``.
        checkpoint: The exported student: a plain checkpoint of MMDetection or MMPretrain. Its plain
            config lies beside it.
        metrics: The metrics of the last validation by ``'student'``, and those of the teacher by
            ``'teacher'``. They are empty without validation, or if the teacher was not evaluated.
        history: The student's metrics and the ``'epoch'`` of each validation.
        work_dir: Folder of logs and checkpoints.
        decisions: Topic and text of what was decided.
    """

    config: Config = field(repr=False)
    config_path: Path
    checkpoint: Path
    metrics: dict[str, Metrics]
    history: list[Metrics] = field(repr=False)
    work_dir: Path
    decisions: list[tuple[str, str]] = field(repr=False)


class _HistoryHook(Hook):
    """Keeps the metrics of each validation."""

    def __init__(self) -> None:
        self.history: list[Metrics] = []

    def after_val_epoch(self, runner: Runner, metrics: Metrics | None = None) -> None:
        self.history.append(dict(epoch=runner.epoch, **(metrics or {})))


def distill(
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
) -> Result:
    """Train a student with its teacher, and export it as a plain model.

    Writes the config ``WORK_DIR/METHOD_TEACHER_STUDENT.py`` and runs it in the folder of the same
    name. The config inherits data and schedule from the student's config; edit it and run it again
    with ``mmkd train``.

    Args:
        teacher: The teacher: the path of a config (``'mmdet::...'`` or ``'mmpretrain::...'`` for
            those of the packages), an MMEngine ``Config``, or a built model that carries its config
            (of MMDetection's ``init_detector`` or MMPretrain's ``get_model``).
        student: The student, as the teacher. A built model starts from its weights. Its config
            decides on everything that no other argument changes.
        teacher_checkpoint: File or URL of the teacher's weights. A built teacher needs none.
        method: For detectors ``'pcka'`` (default), ``'pcka-mimic'``, ``'mimic'``, ``'pkd'``,
            ``'cwd'``, ``'rcka'``, ``'fkd'``, ``'cckd'``, ``'dlkd'`` or ``'cmkd'``. For classifiers
            ``'kd'`` (default), ``'dkd'``, ``'dist'``, ``'rkd'``, ``'rcka'``, ``'fkd'``, ``'cckd'``,
            ``'cmkd'`` or ``'dlkd'``.
        data: Your data. For detectors a folder with COCO annotations: ``train.json`` and
            ``val.json`` with images in ``train/`` and ``val/``, or ``annotations/`` beside the
            images. For classifiers a folder with ``train/CLASS/...`` and ``val/CLASS/...``. Or name
            the files: ``dict(train=('train.json', 'images/'), val=('val.json', 'images/'))``, for
            classifiers ``dict(train='train/', val='val/')``. Default: the student config's data.
        epochs: Number of epochs; the schedule is stretched to it. Default: the config's.
        image_size: Side of a square, or (height, width), for training and evaluation. Images whose
            aspect ratio is kept fit into it. Default: the config's.
        batch_size: Training images per process. Default: the config's.
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
        launcher: How the processes were started: ``'none'``, ``'pytorch'`` (torchrun), ``'slurm'``
            or ``'mpi'``. The first process writes and prints.

    Returns:
        The config, the exported student, the metrics and their history.

    Raises:
        FileExistsError: If the config's file holds other settings.
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
    planned = plan(**locals())  # the same arguments
    joins = launcher != 'none' and not is_distributed()
    if joins:
        init_dist(launcher, **planned.dist_cfg)
    if is_main_process():
        print(planned)
        planned.write()
    barrier()
    cfg = Config.fromfile(planned.path)
    if launcher != 'none':
        cfg.launcher = launcher
    hook = _HistoryHook()
    runner = build_runner(cfg)
    train(runner, [hook])
    checkpoint = planned.work_dir / 'student.pth'
    if is_main_process():
        export(find_latest_checkpoint(str(planned.work_dir)), checkpoint, config=cfg)
        print(f'{"student":<10} {checkpoint}')
    barrier()
    teachers = [h.metrics for h in runner.hooks if isinstance(h, TeacherEvaluationHook)]
    student_metrics = {k: v for k, v in (hook.history or [{}])[-1].items() if k != 'epoch'}
    metrics = dict(
        student=student_metrics, teacher=teachers[0].get('teacher', {}) if teachers else {}
    )
    if joins:
        del runner
        close_process_group()
    return Result(
        cfg, planned.path, checkpoint, metrics, hook.history, planned.work_dir, planned.decisions
    )
