"""Superclass-uniform random sampler."""

import os
from typing import Any

from mmkd.datasets.samplers.group_sampler import GroupSampler, SmallClasses
from mmkd.datasets.samplers.sample_labels import sample_labels
from mmkd.datasets.superclass_file import read_superclasses
from mmkd.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class SURSampler(GroupSampler):
    """Superclass-uniform random sampler: each batch is P superclasses with k samples each.

    "Correlation Congruence for Knowledge Distillation" (https://arxiv.org/abs/1904.01802), sec.
    3.5. Superclasses are clusters of the teacher's features. ``tools/superclasses.py`` writes them.
    Otherwise the sampler is :class:`CURSampler`: set ``batch_size`` here and in the data loader.

    Args:
        dataset: The data set of the superclasses. MMEngine's runner passes it.
        batch_size: The data loader's batch size in one process, a multiple of ``num_per_class``.
        superclasses: File written by ``tools/superclasses.py``.
        num_per_class: Samples of each superclass, k. Defaults to 4, as in the paper.
        seed: Non-negative seed, the same in all processes. MMEngine's runner passes its own. None
            (default) draws one.
        small_classes: What to do with superclasses of fewer than k samples, which clustering can
            make: ``'repeat'`` (default) repeats samples within a group, ``'error'`` raises.

    Raises:
        FileNotFoundError: If the file does not exist.
        TypeError: If the data set has no labels.
        ValueError: If the file has other content or belongs to another data set, or another
            argument is out of its range.

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
        small_classes: SmallClasses = 'repeat',
    ) -> None:
        clusters = read_superclasses(superclasses, sample_labels(dataset))
        super().__init__(clusters, batch_size, num_per_class, seed, small_classes)
