"""Heads that classify."""

import re
from collections.abc import Iterator

from torch import nn

# These predict objectness, or pixels of another label set, not the data set's classes.
_OTHER_HEADS = {'rpn_head', 'semantic_head'}


def classifying_heads(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield heads (``bbox_head``, ``roi_head.bbox_head.0``) with ``num_classes``, by name."""
    for name, module in model.named_modules():
        parts = name.split('.')
        other = any(part in _OTHER_HEADS or part.startswith('teacher') for part in parts)
        is_head = re.search(r'head(\.\d+)?$', name)
        if is_head and not other and isinstance(getattr(module, 'num_classes', None), int):
            yield name, module
