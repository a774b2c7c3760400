"""torch.compile for what of a model repeats with the same shapes: its backbone and neck."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def compile_features(model: nn.Module, options: bool | Mapping[str, Any]) -> None:
    """Compile backbone and neck in place; names of modules and weights stay.

    Heads and their losses, whose shapes change with the instances, run as they are.

    Args:
        model: A detector or classifier.
        options: True, or arguments of :func:`torch.compile`, such as ``mode`` or ``dynamic``; False
            does nothing.

    Raises:
        ValueError: If the model has no backbone.
    """
    if options is False:
        return
    if not isinstance(getattr(model, 'backbone', None), nn.Module):
        raise ValueError(f'compile: expected a model with a backbone, got {type(model).__name__}')
    for name in ('backbone', 'neck'):
        part = getattr(model, name, None)
        if isinstance(part, nn.Module):
            part.compile(**({} if options is True else options))


def begin_step() -> None:
    """Let CUDA graphs (``mode='reduce-overhead'``) overwrite what was computed before this call.

    What they return stays valid until the next step, and unless told otherwise they take each call
    of a compiled part without gradients for a step of its own: a neck's call would take away the
    output of its backbone. So call it once before teacher and student see a batch.
    """
    torch.compiler.cudagraph_mark_step_begin()
