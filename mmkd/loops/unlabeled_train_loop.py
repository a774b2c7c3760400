"""Training with a second loader for unlabeled images."""

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from mmkd.registry import LOOPS
from mmkd.storage.random_state import seeded_generator


@LOOPS.register_module()
class UnlabeledTrainLoop(EpochBasedTrainLoop):
    """Train on epochs of labeled data, with one batch of unlabeled images in each step.

    Use it with :class:`~mmkd.algorithms.UnlabeledDistill`. The unlabeled loader restarts in
    another order each epoch, and whenever it runs out of images. It has its own batch size.

    Args:
        runner: The runner.
        dataloader: The labeled data, ``train_dataloader`` of the config.
        unlabeled_dataloader: A data loader or its config, like ``train_dataloader``. Its labels
            are ignored.
        **kwargs: Arguments of ``EpochBasedTrainLoop`` (``max_epochs``, ``val_interval``, ...).

    Raises:
        ValueError: If the unlabeled loader has no batch.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        unlabeled_dataloader: DataLoader | dict,
        **kwargs: Any,
    ) -> None:
        super().__init__(runner, dataloader, **kwargs)
        self.unlabeled_dataloader = runner.build_dataloader(unlabeled_dataloader, seed=runner.seed)
        if len(self.unlabeled_dataloader) == 0:
            raise ValueError(
                'unlabeled_dataloader: expected at least one batch, got none of '
                f'{len(self.unlabeled_dataloader.dataset)} images'
            )

    trained_batches = 0  # in this epoch, by the checkpoint from which the run resumed

    def run_epoch(self) -> None:
        """Run one epoch over the labeled data, or the rest of one that a checkpoint began."""
        self._unlabeled = self._batches()
        for _ in range(self.trained_batches):
            next(self._unlabeled)
        super().run_epoch()

    def run_iter(self, idx: int, data_batch: Mapping[str, Any]) -> None:
        """Run one step on both batches."""
        super().run_iter(idx, {**data_batch, 'unlabeled': next(self._unlabeled)})

    def _batches(self) -> Iterator[Any]:
        loader = self.unlabeled_dataloader
        sampler = getattr(loader.batch_sampler, 'sampler', loader.sampler)
        for passes in count():
            if hasattr(sampler, 'set_epoch'):
                # No later epoch uses the same number for its first pass.
                sampler.set_epoch(self.epoch + passes * self.max_epochs)
            # The seeds of the workers do not depend on what the model has drawn.
            loader.generator = seeded_generator(
                self.runner.seed, self.epoch, passes, self.runner.rank
            )
            yield from loader
