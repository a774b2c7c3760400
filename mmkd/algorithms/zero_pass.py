"""What the recorders of a distiller see when both networks run on an image of zeros."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from mmengine.model import BaseModel
from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.models.task_modules import RecorderManager

from mmkd.algorithms.recorder_sources import cheapest_mode, release
from mmkd.models.zero_image import run_on_zeros, zero_sample
from mmkd.recorders import InstanceFeaturesRecorder
from mmkd.recorders.step_context import StepContext, open_step

# Small sides first. 128 pixels give every level of a pyramid a whole stride; some networks take
# one size only.
SIDES = (64, 128, 224, 256, 384, 512)


@contextmanager
def recorded_zeros(
    distiller: ConfigurableDistiller, student: BaseModel, teachers: Mapping[str, BaseModel]
) -> Iterator[str]:
    """Hold what the recorders see of an image of zeros; yields why they see nothing, or ''."""
    for side in SIDES:
        size = (side, side)
        try:
            with distiller.student_recorders:
                run_on_zeros(student, size, _mode(distiller.student_recorders))
            with distiller.teacher_recorders:
                for prefix, teacher in teachers.items():
                    run_on_zeros(teacher, size, _mode(distiller.teacher_recorders, prefix))
            for recorder in _pooling(distiller):
                recorder.infer_strides(side)
        except Exception as error:  # a network that takes no such image fails in any way
            problem = f'the networks do not run on zeros ({type(error).__name__}: {error})'
        else:
            problem = ''
            break
    try:
        _check_strides(distiller, problem)
        with open_step(StepContext([zero_sample(size)], seed=0)), torch.no_grad():
            yield problem
    finally:
        release(distiller.student_recorders, distiller.teacher_recorders)


def _mode(recorders: RecorderManager, prefix: str = '') -> str:
    mode = cheapest_mode(recorders, member=prefix)
    return 'tensor' if mode == 'loss' else mode  # losses want a ground truth of their own kind


def _pooling(distiller: ConfigurableDistiller) -> list[InstanceFeaturesRecorder]:
    managers = distiller.student_recorders, distiller.teacher_recorders
    recorders = [recorder for manager in managers for recorder in manager.recorders.values()]
    return [each for each in recorders if isinstance(each, InstanceFeaturesRecorder)]


def _check_strides(distiller: ConfigurableDistiller, problem: str) -> None:
    for recorder in _pooling(distiller):
        if recorder.strides is None:
            raise ValueError(
                f'InstanceFeatures({recorder.source!r}): expected strides, as they cannot be '
                f'inferred: {problem}'
            )
