"""What an algorithm asks of MMRazor's recorders."""

import difflib

from mmrazor.models.task_modules import RecorderManager
from mmrazor.models.task_modules.recorder import (
    ModuleInputsRecorder,
    ModuleOutputsRecorder,
    ParameterRecorder,
)
from torch import nn

FEATURE_PARTS = ('backbone', 'neck')


def check_sources(recorders: RecorderManager, model: nn.Module, who: str) -> None:
    """Raise if a recorder names a module or parameter that ``model`` does not have.

    Raises:
        ValueError: Names recorder and source, and lists close names of the model.
    """
    modules = [name for name, _ in model.named_modules()]
    parameters = [name for name, _ in model.named_parameters()]
    for name, recorder in recorders.recorders.items():
        if isinstance(recorder, ParameterRecorder):
            known, kind = parameters, 'parameter'
        elif isinstance(recorder, ModuleOutputsRecorder | ModuleInputsRecorder):
            known, kind = modules, 'module'
        else:
            continue  # methods and functions are checked by MMRazor when it imports them
        if recorder.source in known:
            continue
        close = difflib.get_close_matches(recorder.source, known, n=5, cutoff=0.4)
        close = close or [part for part in known if part and '.' not in part]
        raise ValueError(
            f'{who}_recorders.{name}: the {who} ({type(model).__name__}) has no {kind} '
            f'{recorder.source!r}; close to it: {", ".join(close)}'
        )


def least_forward(recorders: RecorderManager, *, deliveries: bool = False) -> str:
    """The cheapest forward of a teacher that still produces everything that is recorded.

    Returns:
        ``'features'`` if all sources lie in backbone and neck, ``'tensor'`` if all are modules
        or parameters, ``'loss'`` if methods or functions are recorded or delivered.
    """
    rank = {'features': 0, 'tensor': 1, 'loss': 2}
    needed = ['loss'] if deliveries else ['features']
    for recorder in recorders.recorders.values():
        if isinstance(recorder, ParameterRecorder):
            continue
        if not isinstance(recorder, ModuleOutputsRecorder | ModuleInputsRecorder):
            needed.append('loss')
        elif recorder.source.split('.')[0] not in FEATURE_PARTS:
            needed.append('tensor')
    return max(needed, key=rank.__getitem__)


def release(*managers: RecorderManager) -> None:
    """Drop what was recorded, and with it the graph that it holds."""
    for manager in managers:
        for recorder in manager.recorders.values():
            recorder.reset_data_buffer()  # recorders of parameters keep theirs
