"""Teachers: frozen models whose outputs are recorded while the student trains."""

from mmkd.teachers.ensemble import TeacherEnsemble, build_teacher
from mmkd.teachers.frozen_teacher import FrozenTeacher

__all__ = ['FrozenTeacher', 'TeacherEnsemble', 'build_teacher']
