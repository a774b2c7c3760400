"""Class-uniform random sampler."""

from typing import Any

from mmkd.datasets.samplers.group_sampler import GroupSampler, SmallClasses
from mmkd.datasets.samplers.sample_labels import sample_labels
from mmkd.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class CURSampler(GroupSampler):
    """Class-uniform random sampler: each batch is P classes with k samples each.

    "Correlation Congruence for Knowledge Distillation" (https://arxiv.org/abs/1904.01802), sec.
    3.5. In distributed training P x k is the global batch: N processes with b samples each see the
    same batches as one process with N b samples. :class:`GroupSampler` describes an epoch.

    MMEngine does not tell samplers the loader's ``batch_size``, so set it in both places.

    Args:
        dataset: A classification data set with ``get_gt_labels()``, or several, concatenated or
            repeated. MMEngine's runner passes it.
        batch_size: The data loader's batch size in one process, a multiple of ``num_per_class``.
        num_per_class: Samples of each class, k. Defaults to 4, as in the paper.
        seed: Non-negative seed, the same in all processes. MMEngine's runner passes its own. None
            (default) draws one.
        small_classes: What to do with classes of fewer than k samples: ``'error'`` (default)
            raises, ``'repeat'`` repeats samples within a group.

    Raises:
        TypeError: If the data set has no labels.
        ValueError: If the labels are not one integer a sample, a class is too small, or another
            argument is out of its range.

    Example:
        >>> batch_size = 64
        >>> train_dataloader = dict(
        ...     batch_size=batch_size,
        ...     sampler=dict(type='mmkd.CURSampler', batch_size=batch_size, num_per_class=4),
        ... )
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        num_per_class: int = 4,
        seed: int | None = None,
        small_classes: SmallClasses = 'error',
    ) -> None:
        names = getattr(dataset, 'metainfo', {}).get('classes') or ()
        super().__init__(
            sample_labels(dataset), batch_size, num_per_class, seed, small_classes, names
        )
