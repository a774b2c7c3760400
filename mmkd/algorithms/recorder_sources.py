"""The modules that recorders listen to, and how far a model must run for them."""

import difflib

from mmrazor.models.task_modules import RecorderManager
from mmrazor.models.task_modules.recorder import (
    ModuleInputsRecorder,
    ModuleOutputsRecorder,
    ParameterRecorder,
)
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import nn

from mmkd.recorders import (
    CrossOutputsRecorder,
    EnsembleOutputsRecorder,
    InstanceLabelsRecorder,
)
from mmkd.teachers.frozen_teacher import Mode

FEATURE_PARTS = ('backbone', 'neck')


def expand_sources(recorders: RecorderManager, teachers: nn.Module) -> None:
    """Tell the recorders of several teachers which teachers there are.

    Raises:
        ValueError: If there is only one teacher.
    """
    for name, recorder in recorders.recorders.items():
        if isinstance(recorder, EnsembleOutputsRecorder):
            if not isinstance(teachers, nn.ModuleDict):
                raise ValueError(
                    f'teacher_recorders.{name}: expected several teachers, '
                    'teacher=dict(members=dict(...)), got one; record it by ModuleOutputs'
                )
            recorder.expand(teachers)


def check_sources(recorders: RecorderManager, model: nn.Module, who: str) -> None:
    """Raise if a recorder names a module or parameter that ``model`` does not have.

    Raises:
        ValueError: Names recorder and source, and lists close names of the model.
    """
    parameters = [name for name, _ in model.named_parameters()]
    for name, recorder in recorders.recorders.items():
        what = f'{who}_recorders.{name}'
        if isinstance(recorder, ParameterRecorder):
            _check_known(what, 'parameter', recorder.source, parameters, model, who)
        # Methods and functions are checked by MMRazor when it imports them.
        for source in module_sources(recorder):
            check_module(what, source, model, who)


def check_module(what: str, name: str, model: nn.Module, who: str) -> None:
    """Raise ValueError, naming ``what``, unless ``model`` has a module of this name."""
    _check_known(what, 'module', name, [name for name, _ in model.named_modules()], model, who)


def _check_known(
    what: str, kind: str, source: str, known: list[str], model: nn.Module, who: str
) -> None:
    if source not in known:
        raise ValueError(
            f'{what}: the {who} ({type(model).__name__}) has no {kind} {source!r}; '
            f'close to it: {", ".join(_close(source, known))}'
        )


def module_sources(recorder: BaseRecorder) -> list[str]:
    """Names of the modules that a recorder listens to; none if it records methods or functions."""
    if isinstance(recorder, EnsembleOutputsRecorder):
        return [source for part in recorder.parts for source in module_sources(part)]
    if isinstance(recorder, CrossOutputsRecorder):
        return []  # its module is the other network's
    is_module = isinstance(recorder, ModuleOutputsRecorder | ModuleInputsRecorder)
    return [recorder.source] if is_module else []


def _close(source: str, known: list[str]) -> list[str]:
    close = difflib.get_close_matches(source, known, n=5, cutoff=0.4)
    return close or [part for part in known if part and '.' not in part]


def cheapest_mode(
    recorders: RecorderManager, *, deliveries: bool = False, member: str = ''
) -> Mode:
    """Return the cheapest mode in which a model still produces all that is recorded.

    Args:
        recorders: The teacher's recorders.
        deliveries: Whether the distiller has deliveries.
        member: Prefix of one teacher's modules among several, e.g. ``'first.'``.

    Returns:
        ``'features'`` if all sources lie in backbone and neck, ``'tensor'`` if all are modules
        or parameters, ``'loss'`` if methods or functions are recorded or delivered.
    """
    rank: dict[Mode, int] = {'features': 0, 'tensor': 1, 'loss': 2}
    needed: list[Mode] = ['loss'] if deliveries else ['features']
    for recorder in recorders.recorders.values():
        if isinstance(recorder, ParameterRecorder | InstanceLabelsRecorder):
            continue  # needs no forward pass
        sources = module_sources(recorder)
        if not sources:
            needed.append('loss')
        own = [s.removeprefix(member) for s in sources if s.startswith(member)]
        if any(source.split('.')[0] not in FEATURE_PARTS for source in own):
            needed.append('tensor')
    return max(needed, key=rank.__getitem__)


def reads_step(recorders: RecorderManager) -> bool:
    """Whether a recorder reads the ground truth or the seed of the step."""
    return any(getattr(recorder, 'reads_step', False) for recorder in recorders.recorders.values())


def release(*managers: RecorderManager) -> None:
    """Drop the recorded outputs and the graph that they hold."""
    for manager in managers:
        for recorder in manager.recorders.values():
            recorder.reset_data_buffer()  # recorders of parameters keep theirs
