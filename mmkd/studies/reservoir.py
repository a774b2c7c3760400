"""A random part of a stream."""

from collections.abc import Mapping

import torch
from torch import Tensor


class Reservoir:
    """Keep some rows of a stream, each with the same chance.

    Args:
        capacity: Rows to keep.
        seed: Of the choice.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        self.capacity = capacity
        self.seen = 0
        self._generator = torch.Generator().manual_seed(seed)
        self._keys = torch.empty(0)
        self._order = torch.empty(0, dtype=torch.long)
        self._rows: dict[str, Tensor] = {}

    def add(self, rows: Mapping[str, Tensor]) -> None:
        """Add tensors whose first axes are the same rows."""
        count = len(next(iter(rows.values())))
        keys = torch.cat([self._keys, torch.rand(count, generator=self._generator)])
        order = torch.cat([self._order, torch.arange(self.seen, self.seen + count)])
        kept = keys.topk(min(self.capacity, len(keys))).indices.sort().values
        for name, values in rows.items():
            values = values.detach().float().cpu() if values.is_floating_point() else values.cpu()
            old = self._rows.get(name, values[:0])
            self._rows[name] = torch.cat([old, values])[kept]
        self._keys, self._order = keys[kept], order[kept]
        self.seen += count

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, name: str) -> Tensor:
        """The kept rows of a tensor, in the order of the stream."""
        return self._rows[name]
