"""What a connector may know of the batch beside what was recorded."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import nn


@dataclass
class Batch:
    """The samples of a training step.

    Attributes:
        data_samples: With their ground truth, in the coordinates of the network's input.
        seed: Of what is drawn for this batch, the same for all connectors, so that teacher and
            student are looked at in the same places.
        shared: What connectors have computed in this step and others may want, too.
    """

    data_samples: Sequence[BaseDataElement]
    seed: int
    shared: list[Any] = field(default_factory=list)


class BatchConnector(nn.Module):
    """A connector that depends on the ground truth of the batch.

    Raises:
        ValueError: In the forward pass, if there is no batch with ground truth.
    """

    _batch: Batch | None = None

    @property
    def batch(self) -> Batch:
        """The batch of the current step."""
        if self._batch is None:
            raise ValueError(
                f'{type(self).__name__}: expected a batch with ground truth; it works in a '
                'training step of mmkd.FrozenTeacherDistill'
            )
        return self._batch


def show_batch(
    connectors: Iterable[nn.Module], data_samples: Sequence[BaseDataElement] | None
) -> None:
    """Let connectors know the samples of the batch, or forget them (None)."""
    listening = [part for part in connectors if isinstance(part, BatchConnector)]
    if not listening:
        return  # nothing is drawn: a run's random numbers do not depend on what it does not use
    batch = None
    if data_samples is not None:
        batch = Batch(data_samples, int(torch.randint(2**31, ())))
    for part in listening:
        part._batch = batch
