"""Batches of groups: several samples of each of several classes."""

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from numpy.typing import NDArray
from torch.utils.data import Sampler

from mmkd.functional.checks import check_choice, check_positive_int

SmallClasses = Literal['error', 'repeat']
Indices = NDArray[np.int64]


class GroupSampler(Sampler[int]):
    """Draw global batches of P classes with k samples each. An epoch shows all samples.

    With W processes and b samples a process, P = W b / k. Every process draws the same global
    batches from (seed, epoch) and takes its share of each, which consists of whole groups.

    An epoch shuffles the samples of each class and cuts them into groups of k, so it shows each
    sample once. Other samples of the class fill an incomplete group. Random classes get another
    group until the last batch is whole. These samples are shown twice.

    The sampler draws the classes of a batch in proportion to the groups that they have left. If no
    class has more groups than there are batches, every batch has P different classes. Otherwise
    the largest classes are part of every batch. Once fewer than P classes have groups left,
    batches hold several groups of one class. The same happens if there are fewer than P classes.

    Args:
        labels: Class of each sample, shape (N,).
        batch_size: Batch size in one process, a multiple of ``num_per_class``.
        num_per_class: Group size k.
        seed: Non-negative seed, the same in all processes; None draws one.
        small_classes: What to do with classes of fewer than k samples: ``'error'`` raises,
            ``'repeat'`` repeats samples within a group.
        names: Names of the classes for errors, by label.

    Raises:
        ValueError: If an argument is out of its range, or a class is too small.
    """

    kind = 'class'

    def __init__(
        self,
        labels: NDArray[np.integer],
        batch_size: int,
        num_per_class: int,
        seed: int | None,
        small_classes: SmallClasses,
        names: Sequence[str] = (),
    ) -> None:
        check_positive_int('batch_size', batch_size)
        check_positive_int('num_per_class', num_per_class)
        check_choice('small_classes', small_classes, get_args(SmallClasses))
        if batch_size % num_per_class:
            raise ValueError(
                f'batch_size: expected a multiple of num_per_class={num_per_class}, '
                f'got {batch_size}'
            )
        if seed is not None and seed < 0:
            raise ValueError(f'seed: expected a non-negative integer, got {seed}')
        if len(labels) == 0:
            raise ValueError('dataset: expected at least one sample, got none')
        values, sizes = np.unique(labels, return_counts=True)
        smallest = sizes.argmin()
        if small_classes == 'error' and sizes[smallest] < num_per_class:
            raise ValueError(
                f'num_per_class: expected at least {num_per_class} samples of each {self.kind}, '
                f'got {sizes[smallest]} of {self._describe(values[smallest], names)}; '
                "set small_classes='repeat' or lower num_per_class"
            )
        self.batch_size = batch_size
        self.num_per_class = num_per_class
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self.rank, self.world_size = get_dist_info()
        self._members = np.split(np.argsort(labels, kind='stable'), np.cumsum(sizes)[:-1])
        self._num_groups = -(-sizes // num_per_class)
        self._groups_per_batch = self.world_size * batch_size // num_per_class
        self._num_batches = -(-self._num_groups.sum() // self._groups_per_batch)

    def _describe(self, label: int, names: Sequence[str]) -> str:
        name = f' ({names[label]})' if 0 <= label < len(names) else ''
        return f'{self.kind} {label}{name}'

    def __iter__(self) -> Iterator[int]:
        """Iterate over the indices of this process's samples in the epoch."""
        rng = np.random.default_rng((self.seed, self.epoch))
        classes = _schedule(self._num_groups, self._groups_per_batch, rng).ravel()
        counts = np.bincount(classes, minlength=len(self._members))
        groups = np.empty((len(classes), self.num_per_class), np.int64)
        groups[np.argsort(classes, kind='stable')] = np.concatenate(
            [
                _groups_of(members, count, self.num_per_class, rng)
                for members, count in zip(self._members, counts, strict=True)
            ]
        )
        batches = groups.reshape(self._num_batches, self.world_size, self.batch_size)
        return iter(batches[:, self.rank].ravel().tolist())

    def __len__(self) -> int:
        """Return the number of this process's samples in an epoch: a multiple of the batch size."""
        return int(self._num_batches) * self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch


def _schedule(counts: Indices, per_batch: int, rng: np.random.Generator) -> Indices:
    """Return the class of each group, (batches, per_batch), each at least ``counts`` times."""
    share = -(-per_batch // len(counts))  # groups of a class in a batch: 1 if classes suffice
    left = _fill_batches(counts, per_batch, share, rng)
    later = range(left.sum() // per_batch - 1, -1, -1)
    return np.stack([_draw_batch(left, per_batch, n * share, rng) for n in later])


def _fill_batches(counts: Indices, per_batch: int, share: int, rng: np.random.Generator) -> Indices:
    """Return the classes' numbers of groups, raised until all batches are whole."""
    num_batches = -(-counts.sum() // per_batch)
    counts = counts.copy()
    while missing := num_batches * per_batch - counts.sum():
        candidates = np.flatnonzero(counts < num_batches * share)
        counts[rng.permutation(candidates)[:missing]] += 1
    return counts


def _draw_batch(left: Indices, per_batch: int, room: int, rng: np.random.Generator) -> Indices:
    """Take the classes of one batch from ``left``. Later batches have ``room`` for each class."""
    drawn: list[int] = []
    while len(drawn) < per_batch:  # a second round only if fewer classes have groups left
        present = np.flatnonzero(left)
        # The smallest keys are a draw without replacement in proportion to `left`.
        keys = rng.exponential(size=len(present)) / left[present]
        keys[left[present] > room] = 0.0  # later batches cannot hold all of these
        chosen = present[np.argsort(keys)[: per_batch - len(drawn)]]
        left[chosen] -= 1
        drawn.extend(chosen)
    return rng.permutation(drawn)  # else the first process would get the largest classes


def _groups_of(members: Indices, count: int, size: int, rng: np.random.Generator) -> Indices:
    """Return ``count`` groups of one class, shape (count, size), with all of its members."""
    members = rng.permutation(members)
    whole = len(members) // size
    groups = [members[: whole * size].reshape(whole, size)]
    for index in range(whole, count):
        rest = members[index * size : (index + 1) * size]
        groups.append(_filled(rest, members, size, rng)[None])
    return np.concatenate(groups)


def _filled(group: Indices, members: Indices, size: int, rng: np.random.Generator) -> Indices:
    """Fill the group with more members: different ones if there are enough."""
    others = np.setdiff1d(members, group)
    missing = size - len(group)
    if len(others) >= missing:
        return np.concatenate([group, rng.choice(others, missing, replace=False)])
    return np.concatenate([group, rng.choice(members, missing)])
