"""Similarity of the student's features to the teacher's, epoch by epoch."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmrazor.models.task_modules.recorder import ModuleOutputsRecorder
from torch import Tensor
from torch.utils.data import DataLoader

from mmkd.functional import pcka
from mmkd.models.model_wrapper import unwrap_model
from mmkd.registry import HOOKS
from mmkd.teachers import FrozenTeacher


@HOOKS.register_module()
class FeatureSimilarityHook(Hook):
    """Log the unbiased PCKA between student and teacher features on validation images.

    The value is the mean over levels and batches, logged as ``similarity``. The biased one, which
    ``PCKALoss`` uses by default, stands beside it as ``similarity_biased``: it is close to 1 for
    few patches even if the maps have nothing in common. The hook works on any
    run, so you can compare a student that learns alone with a distilled one. It restores the
    random state, so it does not change the training.

    Args:
        teacher: Config of a :class:`FrozenTeacher`. Defaults to the teacher of the algorithm.
        source: Module whose output to compare, in both models: a map or a tuple of maps.
        patch_size: See :func:`mmkd.functional.pcka`.
        num_batches: Number of batches of the validation loader to use.
        interval: Epochs between two measurements.
    """

    priority = 'BELOW_NORMAL'

    def __init__(
        self,
        teacher: Mapping[str, Any] | None = None,
        source: str = 'neck',
        patch_size: int = 16,
        num_batches: int = 4,
        interval: int = 1,
    ) -> None:
        self.teacher_config = teacher
        self.source = source
        self.patch_size = patch_size
        self.num_batches = num_batches
        self.interval = interval

    def before_train(self, runner: Runner) -> None:
        """Build the teacher, and attach a recorder to each model."""
        model = unwrap_model(runner.model)
        self.student = getattr(model, 'architecture', model)
        self.preprocessor = model.data_preprocessor
        if self.teacher_config is not None:
            self.teacher = FrozenTeacher.from_config({**self.teacher_config, 'mode': 'features'})
            self.teacher.set_input_preprocessor(self.preprocessor)
        elif hasattr(model, 'teacher'):
            self.teacher = model.teacher
        else:
            raise ValueError('FeatureSimilarityHook: expected `teacher`, since the model has none')
        self.recorders = [ModuleOutputsRecorder(self.source) for _ in range(2)]
        for recorder, of in zip(self.recorders, (self.student, self.teacher.model), strict=True):
            recorder.initialize(of)

    def after_train_epoch(self, runner: Runner) -> None:
        """Measure and log."""
        if not self.every_n_epochs(runner, self.interval):
            return
        value, biased = self._measure(runner.val_dataloader)
        values = {'similarity': value, 'similarity_biased': biased}
        runner.visualizer.add_scalars(values, step=runner.epoch + 1)
        text = '  '.join(f'{name}: {number:.4f}' for name, number in values.items())
        runner.logger.info(f'Epoch(similarity) [{runner.epoch + 1}]  {text}')

    @torch.no_grad()
    def _measure(self, loader: DataLoader) -> list[float]:
        training = self.student.training
        self.student.eval()
        values = []
        with torch.random.fork_rng():  # a loader draws from the generator that training uses
            for batch in islice(loader, self.num_batches):
                data = self.preprocessor(batch, False)
                student, teacher = self.recorders
                with student:
                    self.student.extract_feat(data['inputs'])
                with teacher:
                    self.teacher(data['inputs'], data['data_samples'])
                values += self._compare(student.get_record_data(), teacher.get_record_data())
                student.reset_data_buffer()
                teacher.reset_data_buffer()
        self.student.train(training)
        return torch.stack(values).mean(0).tolist()

    def _compare(self, student: Any, teacher: Any) -> list[Tensor]:
        if isinstance(student, Tensor):
            student, teacher = (student,), (teacher,)
        return [
            torch.stack([pcka(s, t, self.patch_size, unbiased=flag) for flag in (True, False)])
            for s, t in zip(student, teacher, strict=True)
        ]
