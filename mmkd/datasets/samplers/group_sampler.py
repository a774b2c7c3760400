"""Batches made of groups: several samples of each of several classes."""

from collections.abc import Iterator, Sequence

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from numpy.typing import NDArray
from torch.utils.data import Sampler

from mmkd.functional.checks import check_choice, check_positive_int

SMALL_CLASSES = ('error', 'repeat')
Indices = NDArray[np.int64]


class GroupSampler(Sampler[int]):
    """Each global batch is P classes with k samples each; an epoch shows all samples.

    With W processes and b samples a process, P = W b / k. Every process draws the same global
    batches from (seed, epoch) and takes its part of each, which holds whole groups.

    An epoch shuffles the samples of each class and cuts them into groups of k, so that each
    sample is seen once. An incomplete group is filled with other samples of its class, and
    classes drawn at random get one group more until the last batch is whole: those samples are
    seen once more.

    The P classes of a batch differ, in every batch of the epoch, if no class has more groups than
    there are batches. They are drawn in proportion to the groups that classes have left. In an
    unbalanced epoch the larger classes are part of every batch; once fewer than P classes have
    groups left, batches hold several groups of each of them, as they do throughout if there are
    no P classes.

    Args:
        labels: Class of each sample, shape (N,).
        batch_size: Samples of a batch in one process, a multiple of ``num_per_class``.
        num_per_class: The group's size k.
        seed: Non-negative seed, the same in all processes; None draws one.
        small_classes: What to do about classes of fewer than k samples: ``'error'``, or
            ``'repeat'`` samples within a group.
        names: Names of the classes for errors, by label.

    Raises:
        ValueError: If an argument is out of its range, or a class too small.
    """

    kind = 'class'

    def __init__(
        self,
        labels: NDArray[np.integer],
        batch_size: int,
        num_per_class: int,
        seed: int | None,
        small_classes: str,
        names: Sequence[str] = (),
    ) -> None:
        check_positive_int('batch_size', batch_size)
        check_positive_int('num_per_class', num_per_class)
        check_choice('small_classes', small_classes, SMALL_CLASSES)
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
        """Indices of this process's samples in the epoch."""
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
        """Number of this process's samples in an epoch, a multiple of the batch size."""
        return int(self._num_batches) * self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches are drawn next."""
        self.epoch = epoch


def _schedule(counts: Indices, per_batch: int, rng: np.random.Generator) -> Indices:
    """The class of each group, shape (batches, per_batch), each at least ``counts`` times."""
    share = -(-per_batch // len(counts))  # of a class in a batch: 1, if there are enough classes
    left = _fill_batches(counts, per_batch, share, rng)
    later = range(left.sum() // per_batch - 1, -1, -1)
    return np.stack([_draw_batch(left, per_batch, n * share, rng) for n in later])


def _fill_batches(counts: Indices, per_batch: int, share: int, rng: np.random.Generator) -> Indices:
    """The classes' numbers of groups, raised until all batches are whole."""
    num_batches = -(-counts.sum() // per_batch)
    counts = counts.copy()
    while missing := num_batches * per_batch - counts.sum():
        candidates = np.flatnonzero(counts < num_batches * share)
        counts[rng.permutation(candidates)[:missing]] += 1
    return counts


def _draw_batch(left: Indices, per_batch: int, room: int, rng: np.random.Generator) -> Indices:
    """Classes of one batch, taken from ``left`` in place; later ones have ``room`` for a class."""
    drawn: list[int] = []
    while len(drawn) < per_batch:  # a second round only if fewer classes have groups left
        present = np.flatnonzero(left)
        # The smallest of these are a draw without replacement in proportion to `left`.
        keys = rng.exponential(size=len(present)) / left[present]
        keys[left[present] > room] = 0.0  # now or twice in a later batch
        chosen = present[np.argsort(keys)[: per_batch - len(drawn)]]
        left[chosen] -= 1
        drawn.extend(chosen)
    return rng.permutation(drawn)  # or the first process would get the largest classes


def _groups_of(members: Indices, count: int, size: int, rng: np.random.Generator) -> Indices:
    """``count`` groups of one class, shape (count, size), which hold all of its members."""
    members = rng.permutation(members)
    whole = len(members) // size
    groups = [members[: whole * size].reshape(whole, size)]
    for index in range(whole, count):
        rest = members[index * size : (index + 1) * size]
        groups.append(_filled(rest, members, size, rng)[None])
    return np.concatenate(groups)


def _filled(group: Indices, members: Indices, size: int, rng: np.random.Generator) -> Indices:
    """The group with further members, different ones if there are enough."""
    others = np.setdiff1d(members, group)
    missing = size - len(group)
    if len(others) >= missing:
        return np.concatenate([group, rng.choice(others, missing, replace=False)])
    return np.concatenate([group, rng.choice(members, missing)])
