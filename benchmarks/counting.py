"""Count the elements that operators read and write. The count is the same on every machine."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
# Operators that read and write no element, although they are not views.
_UNTOUCHED = {
    *(aten._unsafe_view.default, aten.empty.memory_format, aten.empty_like.default),
    *(aten.new_empty.default, aten.empty_strided.default, aten.new_empty_strided.default),
}
_FILLED = {aten.new_zeros.default, aten.zeros_like.default, aten.ones_like.default}


class ElementCounter(TorchDispatchMode):
    """Counts the elements that operators read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Run an operator, and count the elements of its arguments and results."""
        result = function(*args, **(kwargs or {}))
        if not function.is_view and function not in _UNTOUCHED:
            touched = result if function in _FILLED else (args, kwargs, result)
            leaves = tree_leaves(touched)
            self.elements += sum(leaf.numel() for leaf in leaves if isinstance(leaf, Tensor))
        return result
