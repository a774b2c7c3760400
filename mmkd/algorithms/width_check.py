"""Check that losses get outputs of equal widths where they need them, as far as layers tell."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mmrazor.models import losses as mmrazor_losses
from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.models.task_modules.recorder import ModuleOutputsRecorder
from torch import nn

from mmkd.recorders import LevelOutputsRecorder

# mmkd's losses say so themselves, by `equal_widths`.
_MMRAZORS_WITH_EQUAL_WIDTHS = (
    mmrazor_losses.ABLoss,
    mmrazor_losses.ChannelWiseDivergence,
    mmrazor_losses.CrossEntropyLoss,
    mmrazor_losses.DISTLoss,
    mmrazor_losses.DKDLoss,
    mmrazor_losses.FTLoss,
    mmrazor_losses.KDSoftCELoss,
    mmrazor_losses.KLDivergence,
    mmrazor_losses.L1Loss,
    mmrazor_losses.L2Loss,
    mmrazor_losses.MGDLoss,
    mmrazor_losses.OFDLoss,
    mmrazor_losses.PKDLoss,
    mmrazor_losses.WSLD,
)
_OF_OUTPUTS = (ModuleOutputsRecorder, LevelOutputsRecorder)  # a recorder of inputs is a subclass


class _Output(NamedTuple):
    """A recorded output, its width and where it comes from."""

    width: int
    name: str


def check_widths(distiller: ConfigurableDistiller, student: nn.Module, teacher: nn.Module) -> None:
    """Raise if a loss that compares entry by entry would get outputs of different widths.

    Known before the first batch are the widths of linear layers, convolutions, lists of either,
    one a level, and connectors with ``out_channels``. Where one is not known, the losses check at
    the first step.

    Args:
        distiller: With recorders whose sources exist.
        student: The model of its ``student_recorders``.
        teacher: That of its ``teacher_recorders``.

    Raises:
        ValueError: Names the loss, both modules and their widths.
    """
    for name, mapping in distiller.loss_forward_mappings.items():
        if not _needs_equal_widths(distiller.distill_losses[name]):
            continue
        students = _known_outputs(distiller, mapping, student, from_student=True)
        teachers = _known_outputs(distiller, mapping, teacher, from_student=False)
        if len(students) == len(teachers) == 1 and students[0].width != teachers[0].width:
            raise ValueError(
                f'{name}: expected logits of the same classes, or features of the same width, '
                f"got {students[0].width} of the student's {students[0].name} and "
                f"{teachers[0].width} of the teacher's {teachers[0].name}; add a connector, or "
                'compare samples, as mmkd.FKDLoss and mmkd.LCKALoss(inter_weight=0) do'
            )


def _needs_equal_widths(loss: nn.Module) -> bool:
    return getattr(loss, 'equal_widths', isinstance(loss, _MMRAZORS_WITH_EQUAL_WIDTHS))


def _known_outputs(
    distiller: ConfigurableDistiller,
    mapping: Mapping[str, Mapping[str, Any]],
    model: nn.Module,
    *,
    from_student: bool,
) -> list[_Output]:
    """Those of one model that a loss gets, and whose width is known."""
    outputs = [
        _output(distiller, model, **record)
        for record in mapping.values()
        if record['from_student'] == from_student
    ]
    return [output for output in outputs if output is not None]


def _output(
    distiller: ConfigurableDistiller,
    model: nn.Module,
    recorder: str,
    from_student: bool,
    connector: str | None = None,
    **_: Any,
) -> _Output | None:
    """What ``distiller.get_record`` will give for these arguments, or None if it is not known."""
    recorders = distiller.student_recorders if from_student else distiller.teacher_recorders
    source = recorders.get_recorder(recorder)
    if connector:
        width = _connected_width(distiller.connectors[connector])
        name = f'{source.source} through the connector {connector}'
    elif type(source) in _OF_OUTPUTS:
        width, name = _layer_width(model.get_submodule(source.source)), source.source
    else:
        return None
    return None if width is None else _Output(width, name)


def _layer_width(layer: nn.Module) -> int | None:
    if isinstance(layer, nn.ModuleList):  # one a level, all of the same classes
        return _layer_width(layer[0]) if len(layer) else None
    if isinstance(layer, nn.Linear):
        return layer.out_features
    return layer.out_channels if isinstance(layer, nn.Conv2d) else None


def _connected_width(connector: nn.Module) -> int | None:
    if isinstance(connector, nn.Sequential):  # from a list of configs
        return _connected_width(connector[-1])
    width = getattr(connector, 'out_channels', None)
    return width if isinstance(width, int) else None
