"""Several teachers of one student."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmkd.models.multi_view import Views
from mmkd.teachers.frozen_teacher import FrozenTeacher


class TeacherEnsemble:
    """Several frozen teachers that see the same batch.

    To recorders they are one model with one part a teacher: ``first.neck`` is the ``neck`` of the
    teacher ``first``. Teachers may differ in architecture, width, normalization and classes.

    Args:
        members: Teachers by name, built or as their configs (see
            :meth:`FrozenTeacher.from_config`).

    Raises:
        ValueError: If there are no teachers, or a name contains a dot.
    """

    def __init__(self, members: Mapping[str, FrozenTeacher | Mapping[str, Any]]) -> None:
        if not members or any('.' in name for name in members):
            raise ValueError(
                f'members: expected teachers under names without dots, got {[*members]}'
            )
        self.members = {
            name: teacher
            if isinstance(teacher, FrozenTeacher)
            else FrozenTeacher.from_config(teacher)
            for name, teacher in members.items()
        }
        self.model = nn.ModuleDict({name: t.model for name, t in self.members.items()})

    def by_prefix(self) -> dict[str, FrozenTeacher]:
        """Return each single teacher by the prefix of its modules' names."""
        return {f'{name}.': teacher for name, teacher in self.members.items()}

    @property
    def identity(self) -> str:
        """A digest of the weights of all teachers."""
        return ' '.join(f'{name}={teacher.identity}' for name, teacher in self.members.items())

    def set_input_preprocessor(self, student_preprocessor: nn.Module | None) -> None:
        """Expect batches from the student's data preprocessor."""
        for teacher in self.members.values():
            teacher.set_input_preprocessor(student_preprocessor)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights of all teachers."""
        return self.model.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Tensor], source: str) -> None:
        """Replace all weights with those that a checkpoint saved with the student."""
        for prefix, teacher in self.by_prefix().items():
            own = {
                name.removeprefix(prefix): value
                for name, value in state_dict.items()
                if name.startswith(prefix)
            }
            teacher.load_state_dict(own, source)

    def __deepcopy__(self, memo: dict) -> 'TeacherEnsemble':
        return self  # see FrozenTeacher

    def __call__(
        self,
        inputs: Tensor,
        data_samples: Sequence[BaseDataElement] | None = None,
        *,
        views: Views | None = None,
    ) -> dict[str, Any]:
        """Run each teacher on the student's batch; see :meth:`FrozenTeacher.__call__`."""
        return {
            name: teacher(inputs, data_samples, views=views)
            for name, teacher in self.members.items()
        }

    def extract_feat(self, inputs: Tensor) -> dict[str, Any]:
        """Run each teacher's backbone and neck; see :meth:`FrozenTeacher.extract_feat`."""
        return {name: teacher.extract_feat(inputs) for name, teacher in self.members.items()}


Teacher = FrozenTeacher | TeacherEnsemble


def build_teacher(teacher: Teacher | Mapping[str, Any]) -> Teacher:
    """Build one or several teachers. Return teachers that are built already.

    Args:
        teacher: The config of one teacher, or ``dict(members=dict(first=..., second=...))``.

    Raises:
        TypeError: If ``teacher`` is neither a config nor a teacher.
    """
    if isinstance(teacher, FrozenTeacher | TeacherEnsemble):
        return teacher
    if not isinstance(teacher, Mapping):
        raise TypeError(
            'teacher: expected a config (dict with `cfg_path` or `type`) or a FrozenTeacher, got '
            f'{teacher!r}; to train the student alone, use its own config'
        )
    if 'members' in teacher:
        return TeacherEnsemble(**teacher)
    return FrozenTeacher.from_config(teacher)
