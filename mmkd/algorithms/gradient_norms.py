"""How strongly the task and each distillation loss pull at what the distillation reads."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from mmrazor.models.distillers import ConfigurableDistiller
from torch import Tensor

from mmkd.algorithms.shape_check import tensors_of

# Gradients of an fp16 pass would underflow without it. It cancels in the ratio of two norms.
FP16_SCALE = 2.0**10


class Pull(NamedTuple):
    """Norms of two gradients at the same tensors of the student; scalars on its device."""

    task: Tensor
    distillation: Tensor


def gradient_norms(
    distiller: ConfigurableDistiller,
    task: Tensor,
    distillation_losses: Mapping[str, Tensor],
) -> dict[str, Pull]:
    """Measure the gradients of the task and of each distillation loss where the latter enters.

    A distillation loss enters at the tensors that its student recorders hold, such as the levels of
    the neck. The backward passes end there, so only heads, connectors and losses are passed.

    Args:
        distiller: Its student recorders still hold this step.
        task: The sum of the student's losses, as MMEngine's ``parse_losses`` returns it.
        distillation_losses: Losses by the names of ``distiller.distill_losses``.

    Returns:
        For each distillation loss with a gradient the Euclidean norms over all its tensors. The
        graph stays intact for the training step.
    """
    half = torch.is_autocast_enabled(task.device.type) and (
        torch.get_autocast_dtype(task.device.type) is torch.float16
    )
    scale = FP16_SCALE if half else 1.0
    found = {}
    with torch.autocast(task.device.type, enabled=False):
        for name, loss in distillation_losses.items():
            entries = _entries(distiller, name)
            if entries and loss.requires_grad and task.requires_grad:
                norms = (_norm(scale * each, entries) for each in (task, loss))
                found[name] = Pull(*norms)
    return found


def _entries(distiller: ConfigurableDistiller, loss: str) -> list[Tensor]:
    """What the student's recorders of a loss hold, as far as it has gradients."""
    records = distiller.loss_forward_mappings[loss].values()
    names = dict.fromkeys(each['recorder'] for each in records if each['from_student'])
    recorders = [distiller.student_recorders.get_recorder(name) for name in names]
    held = [tensors_of(recorder.data_buffer) for recorder in recorders]
    unique = {id(tensor): tensor for tensors in held for tensor in tensors if tensor.requires_grad}
    return [*unique.values()]


def _norm(loss: Tensor, entries: Iterable[Tensor]) -> Tensor:
    gradients = torch.autograd.grad(loss, [*entries], retain_graph=True, allow_unused=True)
    norms = [gradient.float().norm() for gradient in gradients if gradient is not None]
    return torch.stack(norms).norm() if norms else loss.new_zeros(())
