"""Superclass-uniform random sampler."""

import os
from typing import Any

from mmkd.datasets.samplers.group_sampler import GroupSampler
from mmkd.datasets.samplers.sample_labels import sample_labels
from mmkd.datasets.superclass_file import read_superclasses
from mmkd.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class SURSampler(GroupSampler):
    """Superclass-uniform random sampler: each batch is P superclasses with k samples each.

    "Correlation Congruence for Knowledge Distillation" (2019), sec. 3.5. Superclasses are
    clusters of the teacher's features; ``tools/superclasses.py`` makes them. Apart from that, this
    is :class:`CURSampler`, and ``batch_size`` has to be the data loader's in the same way.

    Args:
        dataset: The data set that the superclasses were made for. MMEngine's runner passes it.
        batch_size: The data loader's, samples of a process; a multiple of ``num_per_class``.
        superclasses: File written by ``tools/superclasses.py``.
        num_per_class: Samples of each superclass, k. Defaults to 4, the paper's.
        seed: Non-negative seed, the same in all processes. MMEngine's runner passes its own;
            None (default) draws one.
        small_classes: What to do about superclasses of fewer than k samples, which clustering
            makes: ``'repeat'`` samples within a group (default), or ``'error'``.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If the data set has no labels to be found.
        ValueError: If the file is of another data set or no such file, or another argument is out
            of its range.

    Example:
        >>> batch_size = 64
        >>> train_dataloader = dict(
        ...     batch_size=batch_size,
        ...     sampler=dict(
        ...         type='mmkd.SURSampler', batch_size=batch_size, superclasses='superclasses.npz'
        ...     ),
        ... )
    """

    kind = 'superclass'

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        superclasses: str | os.PathLike[str],
        num_per_class: int = 4,
        seed: int | None = None,
        small_classes: str = 'repeat',
    ) -> None:
        clusters = read_superclasses(superclasses, sample_labels(dataset))
        super().__init__(clusters, batch_size, num_per_class, seed, small_classes)
