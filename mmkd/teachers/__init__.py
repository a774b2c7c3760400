"""Teachers: frozen models that are recorded while the student trains."""

from mmkd.teachers.frozen_teacher import FrozenTeacher

__all__ = ['FrozenTeacher']
