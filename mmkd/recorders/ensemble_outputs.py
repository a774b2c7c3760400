"""A recorder of several teachers."""

from collections.abc import Mapping
from typing import Any

from mmrazor.models.task_modules.recorder import ModuleOutputsRecorder
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import nn

from mmkd.registry import TASK_UTILS


@TASK_UTILS.register_module()
class EnsembleOutputsRecorder(BaseRecorder):
    """Record one module of each teacher of an ensemble.

    Configs call it ``type='mmkd.EnsembleOutputs'``. A record is the tuple of the teachers' outputs,
    in the order of the ensemble. ``record_idx`` and ``data_idx`` pick from each of them.

    Args:
        source: Name of the module, if it is the same in all teachers; or a dict from names of
            teachers to names of modules. Teachers that the dict leaves out are not recorded.

    Example:
        >>> from torch import nn
        >>> teachers = nn.ModuleDict({name: nn.Identity() for name in ('first', 'second')})
        >>> recorder = EnsembleOutputsRecorder({'first': 'neck'})
        >>> recorder.parts[0].source
        'first.neck'
    """

    def __init__(self, source: str | Mapping[str, str]) -> None:
        super().__init__(source)
        self.parts: list[ModuleOutputsRecorder] = []
        if not isinstance(source, str):
            self._listen_to(source)

    def _listen_to(self, sources: Mapping[str, str]) -> None:
        self.parts = [ModuleOutputsRecorder(f'{name}.{own}') for name, own in sources.items()]

    def expand(self, teachers: nn.ModuleDict) -> None:
        """Record every teacher, if one name stands for the module of all."""
        if isinstance(self.source, str):
            self._listen_to(dict.fromkeys(teachers, self.source))

    def prepare_from_model(self, model: nn.Module | None = None) -> None:
        """Hook into the teachers."""
        for part in self.parts:
            part.initialize(model)

    def get_record_data(self, record_idx: int = 0, data_idx: int | None = None) -> tuple[Any, ...]:
        """Return the teachers' outputs."""
        return tuple(part.get_record_data(record_idx, data_idx) for part in self.parts)

    def reset_data_buffer(self) -> None:
        """Drop the recorded outputs."""
        for part in self.parts:
            part.reset_data_buffer()

    def __enter__(self) -> None:
        for part in self.parts:
            part.__enter__()

    def __exit__(self, *error: Any) -> None:
        for part in self.parts:
            part.__exit__(*error)
