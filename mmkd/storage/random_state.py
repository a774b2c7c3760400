"""The random state of a process: Python, NumPy, torch on the CPU and on the current GPU."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

RandomState = dict[str, Any]


def random_state() -> RandomState:
    """Return the state as plain numbers and tensors, which PyTorch's safe loader reads."""
    version, words, gaussian = random.getstate()
    numpy: Any = np.random.get_state()
    name, keys, *rest = numpy  # keys of 32 bits without sign, which torch does not have
    state: RandomState = dict(
        python=(version, torch.tensor(words), gaussian),
        numpy=(name, torch.from_numpy(keys.astype(np.int64)), *rest),
        torch=torch.get_rng_state(),
    )
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: RandomState) -> None:
    """Set the state that :func:`random_state` returned, in this process or an earlier one."""
    version, words, gaussian = state['python']
    random.setstate((version, tuple(words.tolist()), gaussian))
    name, keys, *rest = state['numpy']
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state['torch'].cpu())
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


def seeded_generator(*entropy: int) -> torch.Generator:
    """Return a generator whose seed depends on all of the non-negative integers."""
    seed = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed))


@contextmanager
def same_random_state() -> Iterator[None]:
    """Restore the random state after the block."""
    state = random_state()
    try:
        yield
    finally:
        restore_random_state(state)
