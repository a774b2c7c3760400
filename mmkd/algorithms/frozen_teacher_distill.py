"""Distillation from frozen teachers."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement
from mmrazor.models.algorithms import BaseAlgorithm
from mmrazor.models.utils import add_prefix
from torch import Tensor, nn

from mmkd.algorithms.both_batches import BothBatches
from mmkd.algorithms.gradient_norms import Pull, gradient_norms
from mmkd.algorithms.mapping_check import check_sides
from mmkd.algorithms.pseudo_labels import PseudoLabels
from mmkd.algorithms.recorder_sources import (
    cheapest_mode,
    check_sources,
    expand_sources,
    reads_step,
    release,
)
from mmkd.algorithms.short_config import expand_distiller
from mmkd.algorithms.student_preprocessor import like_students
from mmkd.algorithms.width_inference import build_connectors
from mmkd.models.building import build_model
from mmkd.models.compilation import begin_step, compile_features
from mmkd.models.multi_view import Views, all_views, resolve_views
from mmkd.recorders.step_context import StepContext, open_step
from mmkd.registry import MODELS
from mmkd.teachers import FrozenTeacher, TeacherEnsemble, build_teacher

TEACHER_PREFIX = 'teacher.'
Samples = Sequence[BaseDataElement] | None
NO_UNLABELED = (
    'unlabeled: expected a second batch, got none; set '
    "train_cfg=dict(type='mmkd.UnlabeledTrainLoop', unlabeled_dataloader=...)"
)


@MODELS.register_module()
class FrozenTeacherDistill(BaseAlgorithm):
    """A student learns its task and, through a distiller, from a :class:`FrozenTeacher`.

    A step has three parts. The teacher runs as far as something is recorded: backbone and neck, or
    the whole network. The student runs with its task losses. The distiller computes its losses from
    what both left. Losses are named ``student.*`` and ``distill.*``.

    Args:
        architecture: The student: a config with ``cfg_path`` (of MMDetection, MMPretrain or your
            own) and overrides, a config with ``type``, or a model.
        teacher: The teacher. Its config takes ``checkpoint``, ``precision``, ``mode``, ``compile``
            and ``channels_last`` as well (see :class:`FrozenTeacher`). Several teachers are
            ``dict(members=dict(first=..., second=...))``; their modules are recorded as
            ``first.neck`` (see :class:`TeacherEnsemble`). Built teachers work, too.
        distiller: Config of the distiller, in the short spelling (see
            :func:`mmkd.algorithms.short_config.expand_distiller`), in MMRazor's, or mixed. Types
            without a scope are MMRazor's. Widths of connectors may be left out.
        views: Extract features from several views of each image: ``'rotations'``, or a function
            that stacks the views, the image itself first. Recorded outputs of backbone and neck
            hold all views. Heads and task losses see the image alone. Default: None.
        data_preprocessor: Default: the student's. A config without ``type`` takes the student's
            class, one without ``batch_augments`` (mixup and the like) the student's augments.
        save_teacher: Save the teacher's weights in the checkpoints and load them from there.
            Default: False.
        compile: Compile the student's backbone and neck: True, or arguments of
            :func:`torch.compile`. The teacher has its own ``compile``. Default: False.
        pseudo_labels: Also learn from a second, unlabeled batch of each step, which
            :class:`~mmkd.loops.UnlabeledTrainLoop` adds: the distillation losses see it, and the
            teacher's predictions on it are ground truth for the student. A dict of arguments of
            :class:`~mmkd.algorithms.pseudo_labels.PseudoLabels`; an empty one takes its defaults.
            Default: None.
        init_cfg: As in MMEngine.

    Raises:
        ValueError: If a recorder names a module that the model does not have, a loss would compare
            different shapes or class counts, a width cannot be inferred, or the teacher's
            checkpoint does not match.
    """

    def __init__(
        self,
        architecture: BaseModel | Mapping[str, Any],
        teacher: FrozenTeacher | TeacherEnsemble | Mapping[str, Any],
        distiller: Mapping[str, Any],
        views: str | Views | None = None,
        data_preprocessor: nn.Module | dict | None = None,
        save_teacher: bool = False,
        compile: bool | Mapping[str, Any] = False,
        pseudo_labels: Mapping[str, Any] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        student = build_model(architecture)
        super().__init__(student, like_students(student, data_preprocessor), init_cfg)
        self.save_teacher = save_teacher
        self.views = resolve_views(views)
        self.teacher = build_teacher(teacher)
        self._build_distiller(expand_distiller(distiller))
        compile_features(self.architecture, compile)
        teachers = self.teacher.by_prefix().values()
        if compile is not False or any(teacher.compiled for teacher in teachers):
            self.register_forward_pre_hook(_begin_step)
        self.pseudo_labels = None if pseudo_labels is None else PseudoLabels(**pseudo_labels)
        if self.pseudo_labels is not None:
            self._check_single_teacher()
            self.data_preprocessor: nn.Module = BothBatches(self.data_preprocessor)
        # Set by MMRazor's StopDistillHook.
        self.distillation_stopped = False
        # Factors of distillation losses, set by LossScheduleHook; the default is 1.
        self.loss_factors: dict[str, float] = {}
        # Further factors, set by LossBalanceHook, which also asks for what it sets them by.
        self.balance_factors: dict[str, float] = {}
        self.measure_gradients = False
        self.gradient_norms: dict[str, Pull] = {}

    def _build_distiller(self, config: dict[str, Any]) -> None:
        """Build the distiller, attach its recorders, and choose how far the teacher runs."""
        connectors = config.pop('connectors', None) or {}
        mappings = config.pop('loss_forward_mappings', None) or {}
        check_sides(mappings)
        with DefaultScope.overwrite_default_scope('mmrazor'):
            self.distiller = distiller = MODELS.build(config)
        # Connectors are built last, as their widths follow from what is recorded.
        distiller.connectors = nn.ModuleDict({name: nn.Identity() for name in connectors})
        distiller._check_loss_forward_mappings(
            distiller.distill_losses,
            mappings,
            distiller.student_recorders,
            distiller.teacher_recorders,
        )
        distiller.loss_forward_mappings = mappings
        expand_sources(distiller.teacher_recorders, self.teacher.model)
        check_sources(distiller.student_recorders, self.architecture, 'student')
        check_sources(distiller.teacher_recorders, self.teacher.model, 'teacher')
        distiller.prepare_from_student(self.architecture)
        distiller.prepare_from_teacher(self.teacher.model)
        teachers = self.teacher.by_prefix()
        models = {prefix: teacher.model for prefix, teacher in teachers.items()}
        build_connectors(distiller, connectors, self.architecture, models)
        self.teacher.set_input_preprocessor(self.data_preprocessor)
        deliveries = bool(distiller.deliveries.deliveries)
        for prefix, member in teachers.items():
            if member.mode is None:
                member.mode = cheapest_mode(
                    distiller.teacher_recorders, deliveries=deliveries, member=prefix
                )

    def _check_single_teacher(self) -> None:
        if not isinstance(self.teacher, FrozenTeacher):
            raise ValueError('teacher: expected one, got several')

    @property
    def student(self) -> nn.Module:
        """The student, MMRazor's ``architecture``."""
        return self.architecture

    def forward(
        self,
        inputs: Tensor,
        data_samples: Samples = None,
        mode: str = 'tensor',
        unlabeled: Any = None,
    ) -> Any:
        """Run as MMEngine models do.

        Args:
            inputs: (B, 3, H, W), preprocessed.
            data_samples: The batch's samples.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.
            unlabeled: With ``pseudo_labels`` and in mode ``'loss'``, a dict with the ``inputs`` and
                ``data_samples`` of a second batch, without ground truth.

        Raises:
            ValueError: If the second batch is missing.
        """
        if mode != 'loss' or self.pseudo_labels is None:
            return super().forward(inputs, data_samples, mode)
        if unlabeled is None:
            raise ValueError(NO_UNLABELED)
        assert isinstance(self.teacher, FrozenTeacher)  # the constructor checked it
        labeled = self.loss(inputs, data_samples)
        self.measure_gradients = False  # they were those of the labeled batch
        self.pseudo_labels.label(self.teacher, **unlabeled)
        share = len(unlabeled['inputs']) / (len(inputs) + len(unlabeled['inputs']))
        return self.pseudo_labels.join(labeled, self.loss(**unlabeled), share)

    def loss(
        self, inputs: Tensor, data_samples: Samples = None, unlabeled: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Task and distillation losses of a batch.

        Args:
            inputs: (B, 3, H, W), preprocessed.
            data_samples: The batch's samples with their ground truth.
            unlabeled: Unlabeled images (U, 3, H, W), preprocessed, for algorithms that use them.

        Returns:
            Losses by name, ``student.*`` and ``distill.*``.
        """
        if self._stopped():
            losses = self.architecture(inputs, data_samples, mode='loss')
            return {**add_prefix(losses, 'student'), **self._stopped_losses()}
        with self._step(data_samples, unlabeled):
            task = self._run(inputs, data_samples)
            distillation = self.distiller.compute_distill_losses()
            if self.measure_gradients:
                total, _ = self.parse_losses(task)
                self.gradient_norms = gradient_norms(self.distiller, total, distillation)
        weighted = {name: self.loss_factor(name) * loss for name, loss in distillation.items()}
        return {**add_prefix(task, 'student'), **add_prefix(weighted, 'distill')}

    @contextmanager
    def _step(self, data_samples: Samples, unlabeled: Tensor | None) -> Iterator[None]:
        """Open the step for recorders; afterwards nothing of it is left, even after an error."""
        managers = self.distiller.student_recorders, self.distiller.teacher_recorders
        # Draw only if a recorder needs it: other runs keep the random numbers of the student alone.
        seed = int(torch.randint(2**31, ())) if any(map(reads_step, managers)) else None
        try:
            with open_step(StepContext(data_samples, seed, unlabeled)):
                yield
        finally:
            release(*managers)

    def _run(self, inputs: Tensor, data_samples: Samples) -> dict[str, Tensor]:
        """Run teacher and student while recording; returns the task losses."""
        distiller = self.distiller
        distiller.set_deliveries_override(False)
        with distiller.teacher_recorders, distiller.deliveries:
            self._run_teacher(inputs, data_samples)
        distiller.set_deliveries_override(True)
        with distiller.student_recorders, distiller.deliveries:
            return self._run_student(inputs, data_samples)

    def _run_teacher(self, inputs: Tensor, data_samples: Samples) -> None:
        self.teacher(inputs, data_samples, views=self.views)

    def _run_student(self, inputs: Tensor, data_samples: Samples) -> dict[str, Tensor]:
        with all_views(self.architecture, self.views):
            return self.architecture(inputs, data_samples, mode='loss')

    def loss_factor(self, name: str) -> float:
        """Return what a distillation loss is multiplied by in this step, e.g. of ``loss_pcka``."""
        return self.loss_factors.get(name, 1.0) * self.balance_factors.get(name, 1.0)

    def _stopped(self) -> bool:
        """Whether every distillation loss is off in this step, which needs no teacher then."""
        names = self.distiller.loss_forward_mappings
        factors = [self.loss_factors.get(name, 1.0) for name in names]
        return self.distillation_stopped or (bool(factors) and not any(factors))

    def _stopped_losses(self) -> dict[str, Tensor]:
        """A zero loss of the connectors, if any: DDP waits for the gradient of each parameter."""
        trained = [p.sum() for p in self.distiller.parameters() if p.requires_grad]
        return {'distill.loss_stopped': 0 * torch.stack(trained).sum()} if trained else {}

    def __deepcopy__(self, memo: dict) -> 'FrozenTeacherDistill':
        # The copy shares the teacher, and therefore the recorders hooked into the teacher.
        recorders = self.distiller.teacher_recorders
        memo[id(recorders)] = recorders
        copied = memo[id(self)] = type(self).__new__(type(self))
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied

    def checkpoint_meta(self) -> dict[str, str]:
        """Return what a checkpoint says about the teacher, which is not in it.

        A run that resumes with another teacher stops.
        """
        return {} if self.save_teacher else {'teacher': self.teacher.identity}

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self.save_teacher:
            for name, value in self.teacher.state_dict().items():
                destination[prefix + TEACHER_PREFIX + name] = value

    def _load_from_state_dict(self, state_dict, prefix, *args):
        start = prefix + TEACHER_PREFIX
        saved = {
            name.removeprefix(start): state_dict.pop(name)
            for name in list(state_dict)
            if name.startswith(start)
        }
        if saved and self.save_teacher:
            self.teacher.load_state_dict(saved, 'the resumed checkpoint')
        super()._load_from_state_dict(state_dict, prefix, *args)


def _begin_step(*_: Any) -> None:
    begin_step()
