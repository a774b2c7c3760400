"""A recorder of a head's outputs on each level of a pyramid."""

from typing import Any

from mmrazor.models.task_modules.recorder import ModuleOutputsRecorder
from torch import nn

from mmkd.registry import TASK_UTILS


@TASK_UTILS.register_module()
class LevelOutputsRecorder(ModuleOutputsRecorder):
    """Record every output of a module in one pass, one for each level.

    Configs call it ``type='mmkd.LevelOutputs'``. A record is the tuple of the outputs, in the order
    of the calls. Use it for heads that run the same layer on each level, such as RetinaNet's
    ``bbox_head.retina_cls``, or hold a list of layers, one for each level, such as RTMDet's
    ``bbox_head.rtm_cls``.

    Args:
        source: Name of the module. A ``ModuleList`` gives the outputs of all its members.

    Example:
        >>> from torch import nn
        >>> import torch
        >>> model = nn.ModuleDict({'head': nn.Linear(2, 3)})
        >>> recorder = LevelOutputsRecorder('head')
        >>> recorder.initialize(model)
        >>> with recorder:
        ...     _ = [model['head'](torch.zeros(rows, 2)) for rows in (4, 2)]
        >>> [tuple(level.shape) for level in recorder.get_record_data()]
        [(4, 3), (2, 3)]
    """

    def prepare_from_model(self, model: nn.Module | None = None) -> None:
        """Hook into the module, or into the members of a list."""
        assert model is not None
        module = model.get_submodule(self.source)
        parts = module if isinstance(module, nn.ModuleList) else [module]
        for part in dict.fromkeys(parts):  # a list may hold the same module for all levels
            part.register_forward_hook(self.forward_hook)

    def get_record_data(self, record_idx: int = 0, data_idx: int | None = None) -> tuple[Any, ...]:
        """Return the outputs of all calls; ``data_idx`` picks an item of each.

        Args:
            record_idx: 0, as there is one record, the tuple.
            data_idx: Index of an item of each output.

        Raises:
            TypeError: If ``data_idx`` is given and the outputs are not tuples or lists.
            ValueError: If ``record_idx`` is not 0, or the module did not run.
        """
        if record_idx != 0:
            raise ValueError(f'record_idx: expected 0, got {record_idx}; choose levels in the loss')
        if not self.data_buffer:
            raise ValueError(f'source: {self.source!r} was not called in the forward pass')
        get = super().get_record_data
        return tuple(get(call, data_idx) for call in range(len(self.data_buffer)))
