"""Class-uniform random sampler."""

from typing import Any

from mmkd.datasets.samplers.group_sampler import GroupSampler
from mmkd.datasets.samplers.sample_labels import sample_labels
from mmkd.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class CURSampler(GroupSampler):
    """Class-uniform random sampler: each batch is P classes with k samples each.

    "Correlation Congruence for Knowledge Distillation" (2019), sec. 3.5. In distributed training
    P x k is the global batch, and N processes with b samples each see what one with N b sees. How
    an epoch is made is described at :class:`GroupSampler`.

    MMEngine does not tell samplers the loader's ``batch_size``; give both the same. With another
    one the loader's batches would not be those that were drawn.

    Args:
        dataset: A classification data set with ``get_gt_labels()``, or such ones concatenated or
            repeated. MMEngine's runner passes it.
        batch_size: The data loader's, samples of a process; a multiple of ``num_per_class``.
        num_per_class: Samples of each class, k. Defaults to 4, the paper's.
        seed: Non-negative seed, the same in all processes. MMEngine's runner passes its own;
            None (default) draws one.
        small_classes: What to do about classes of fewer than k samples: ``'error'`` (default), or
            ``'repeat'`` samples within a group.

    Raises:
        TypeError: If the data set has no labels to be found.
        ValueError: If they are not one integer a sample, a class is too small, or another
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
        small_classes: str = 'error',
    ) -> None:
        names = getattr(dataset, 'metainfo', {}).get('classes') or ()
        super().__init__(
            sample_labels(dataset), batch_size, num_per_class, seed, small_classes, names
        )
