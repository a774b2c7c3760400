"""torch.compile for backbone and neck, which see the same shapes in each step."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def compile_features(model: nn.Module, options: bool | Mapping[str, Any]) -> None:
    """Compile backbone and neck in place. Names of modules and weights stay.

    Heads and losses are not compiled, because their shapes change with the number of instances.

    Args:
        model: A detector or classifier.
        options: True, or a dict of arguments of :func:`torch.compile` (``mode``, ``dynamic``, ...).
            False does nothing.

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
    """Let CUDA graphs (``mode='reduce-overhead'``) overwrite the outputs of earlier calls.

    Outputs of CUDA graphs stay valid until the next step. Without gradients, PyTorch takes each
    call of a compiled module for a new step, so the neck would overwrite the backbone's output.
    Call this function once before teacher and student see a batch.
    """
    torch.compiler.cudagraph_mark_step_begin()
