"""The heads of a model that classify."""

import re
from collections.abc import Iterator

from torch import nn

# Heads that do not classify the data set's classes: objectness, and pixels of another label set.
_OTHER_HEADS = {'rpn_head', 'semantic_head'}


def classifying_heads(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules named head (``bbox_head``, ``roi_head.bbox_head.0``) that state ``num_classes``."""
    for name, module in model.named_modules():
        parts = name.split('.')
        other = any(part in _OTHER_HEADS or part.startswith('teacher') for part in parts)
        is_head = re.search(r'head(\.\d+)?$', name)
        if is_head and not other and isinstance(getattr(module, 'num_classes', None), int):
            yield name, module
