"""Which runs belong together: the teacher's, the student's alone, those of each method."""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mmkd.reporting.run_folder import RunFolder

TEACHER, STUDENT = 'teacher', 'student'
Role = Literal['teacher', 'student', 'distilled', 'model']
ORDER: Sequence[Role] = ('teacher', 'student', 'distilled', 'model')
# Settings that say where and how a run runs, not what it trains.
PLACES = ('work_dir', 'resume', 'launcher', 'log_level', 'visualizer', 'vis_backends', 'env_cfg')
# Parts of a model's config that differ between a student alone and in a distillation.
_OUTSIDE = ('data_preprocessor', 'init_cfg', '_scope_')


@dataclass
class Group:
    """Runs that differ in their seed alone.

    Attributes:
        name: Name in tables and legends.
        role: What its model is in the comparison. ``'model'`` is none of the others.
        runs: The runs, in the order of their seeds.
        columns: For a teacher without a run of its own, the metrics that a distillation measured.
    """

    name: str
    role: Role
    runs: list[RunFolder] = field(default_factory=list)
    columns: dict[str, float] = field(default_factory=dict)

    @property
    def rows(self) -> list[dict[str, float]]:
        """The metrics of each run that has some."""
        rows = [run.columns for run in self.runs if run.columns]
        return rows or ([self.columns] if self.columns else [])

    def by_seed(self) -> dict[Any, RunFolder]:
        """The runs by their seeds, or by their places where a seed is not set or stands twice."""
        seeds = [run.seed for run in self.runs]
        unique = None not in seeds and len({*seeds}) == len(seeds)
        return dict(zip(seeds if unique else range(len(seeds)), self.runs, strict=True))


def group_runs(runs: Sequence[RunFolder]) -> list[Group]:
    """Sort runs into groups: the teacher, the student alone, each method, other models."""
    distilled = [run for run in runs if run.is_distilled]
    groups: dict[str, Group] = {}
    for run in runs:
        role = _role(run, distilled)
        settings = json.dumps(settings_of(run), default=str, sort_keys=True)
        key = f'{role} {settings}'
        groups.setdefault(key, Group(_name(run, role), role)).runs.append(run)
    for group in groups.values():
        group.runs.sort(key=lambda run: (run.seed is None, run.seed or 0))
    found = sorted(groups.values(), key=lambda group: ORDER.index(group.role))
    if not any(group.role == TEACHER for group in found) and distilled:
        measured = next((run.teacher_columns for run in distilled if run.teacher_columns), {})
        found.insert(0, Group(TEACHER, 'teacher', columns=measured))
    _name_apart(found)
    return found


def settings_of(run: RunFolder) -> dict[str, Any]:
    """What a run trains: its settings without places and seed."""
    if run.config is None:
        return dict(folder=str(run.path))
    settings = copy.deepcopy(run.config._cfg_dict.to_dict())
    if isinstance(settings.get('randomness'), dict):
        settings['randomness'].pop('seed', None)
    return {name: value for name, value in settings.items() if name not in PLACES}


def _role(run: RunFolder, distilled: Sequence[RunFolder]) -> Role:
    if run.is_distilled:
        return 'distilled'
    if any(_taught(run, other) for other in distilled):
        return 'teacher'
    own = _architecture(run)
    alike = run.method == STUDENT or any(own and own == _architecture(d) for d in distilled)
    return 'student' if alike else 'model'


def _taught(run: RunFolder, distilled: RunFolder) -> bool:
    """Whether the teacher's weights come from this run."""
    checkpoint = (distilled.teacher or {}).get('checkpoint')
    if not isinstance(checkpoint, str) or '://' in checkpoint:
        return False
    return Path(checkpoint).resolve().parent == run.path.resolve()


def _architecture(run: RunFolder) -> Any:
    """The student's model, to be compared."""
    config = run.student
    return None if config is None else _inside(config.model.to_dict())


def _inside(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _inside(part) for name, part in value.items() if name not in _OUTSIDE}
    if isinstance(value, list | tuple):
        return [_inside(part) for part in value]
    return value.rpartition('.')[2] if isinstance(value, str) else value


def _name(run: RunFolder, role: Role) -> str:
    if role in (TEACHER, STUDENT):
        return role
    return run.method or ' + '.join(run.losses) or run.path.name


def _name_apart(groups: Sequence[Group]) -> None:
    """Give groups of one name the names of their folders as well."""
    names = [group.name for group in groups]
    for group in groups:
        if names.count(group.name) > 1 and group.runs:
            group.name = f'{group.name} ({group.runs[0].path.name})'
