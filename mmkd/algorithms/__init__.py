"""MMRazor algorithms with a frozen teacher."""

from mmkd.algorithms.frozen_teacher_distill import FrozenTeacherDistill

__all__ = ['FrozenTeacherDistill']
