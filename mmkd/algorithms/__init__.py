"""MMRazor algorithms with frozen teachers."""

from mmkd.algorithms.ensemble_recorder import EnsembleOutputsRecorder
from mmkd.algorithms.frozen_teacher_distill import FrozenTeacherDistill
from mmkd.algorithms.unlabelled_distill import UnlabelledDistill

__all__ = ['EnsembleOutputsRecorder', 'FrozenTeacherDistill', 'UnlabelledDistill']
