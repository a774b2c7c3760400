"""What recorders may know of a training step beside the outputs that they record."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from mmengine.structures import BaseDataElement
from torch import Tensor


@dataclass(frozen=True)
class StepContext:
    """One training step, from its batch to its losses.

    Attributes:
        data_samples: The samples of the batch with their ground truth, in the coordinates of the
            network's input.
        seed: Seed of random draws in this step. Teacher and student share it, so both look at the
            same places.
        unlabeled: Unlabeled images (U, 3, H, W) beside the batch.
    """

    data_samples: Sequence[BaseDataElement] | None = None
    seed: int | None = None
    unlabeled: Tensor | None = None
    _shared: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def share(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the value of ``key``, which the first recorder to ask makes for all."""
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]


_current: ContextVar[StepContext | None] = ContextVar('mmkd_step', default=None)


@contextmanager
def open_step(step: StepContext) -> Iterator[StepContext]:
    """Make ``step`` the current one; it is gone when the block ends, whatever happens in it."""
    token = _current.set(step)
    try:
        yield step
    finally:
        _current.reset(token)


def current_step(who: str) -> StepContext:
    """Return the current step.

    Args:
        who: The class that asks, for the error.

    Raises:
        ValueError: If no step is open.
    """
    step = _current.get()
    if step is None:
        raise ValueError(f'{who}: expected a training step of mmkd.FrozenTeacherDistill, got none')
    return step


def labeled_step(who: str) -> StepContext:
    """Return the current step, which has ground truth.

    Args:
        who: The class that asks, for the error.

    Raises:
        ValueError: If no step is open, or its batch has no samples.
    """
    step = _current.get()
    if step is None or step.data_samples is None:
        raise ValueError(
            f'{who}: expected a batch with ground truth; it works in a training step of '
            'mmkd.FrozenTeacherDistill'
        )
    return step
