"""Models inside the wrappers of distributed training."""

from typing import Any

from mmengine.model import is_model_wrapper
from torch import nn


def unwrap_model(model: nn.Module) -> Any:
    """Return the module inside ``DistributedDataParallel`` or another wrapper, else ``model``."""
    return model.module if is_model_wrapper(model) else model
