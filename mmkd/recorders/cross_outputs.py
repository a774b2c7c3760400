"""A recorder of the teacher's head while it runs on the student's features."""

from torch import nn

from mmkd.recorders.level_outputs import LevelOutputsRecorder
from mmkd.registry import TASK_UTILS


@TASK_UTILS.register_module()
class CrossOutputsRecorder(LevelOutputsRecorder):
    """Outputs of a module of the teacher's head that depend on the student, one for each level.

    Configs call it ``type='mmkd.CrossOutputs'``, on the student's side. Only
    :class:`mmkd.CrossHeadDistill` fills it.

    Args:
        source: Name of the module in the teacher, such as ``'bbox_head.gfl_cls'``.
    """

    def prepare_from_model(self, model: nn.Module | None = None) -> None:
        """Nothing to attach yet: the source is a module of the teacher."""

    def attach(self, teacher: nn.Module) -> None:
        """Hook into the teacher's module."""
        super().prepare_from_model(teacher)
