"""Training with a second loader of unlabelled images."""

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from mmkd.registry import LOOPS


@LOOPS.register_module()
class UnlabelledTrainLoop(EpochBasedTrainLoop):
    """Epochs over the labelled data, each batch with one of unlabelled images beside it.

    The algorithm is :class:`~mmkd.algorithms.UnlabelledDistill`. The unlabelled loader starts anew,
    in another order, each epoch and whenever it is through. Its batch size is its own.

    Args:
        runner: The runner.
        dataloader: The labelled data, ``train_dataloader`` of the config.
        unlabelled_dataloader: A data loader or its config, as ``train_dataloader``; labels in it
            are not looked at.
        **kwargs: As for ``EpochBasedTrainLoop`` (``max_epochs``, ``val_interval``, ...).

    Raises:
        ValueError: If the unlabelled loader gives no batch.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        unlabelled_dataloader: DataLoader | dict,
        **kwargs: Any,
    ) -> None:
        super().__init__(runner, dataloader, **kwargs)
        self.unlabelled_dataloader = runner.build_dataloader(
            unlabelled_dataloader, seed=runner.seed
        )
        if len(self.unlabelled_dataloader) == 0:
            raise ValueError(
                'unlabelled_dataloader: expected at least one batch, got none of '
                f'{len(self.unlabelled_dataloader.dataset)} images'
            )

    def run_epoch(self) -> None:
        """Run one epoch over the labelled data."""
        self._unlabelled = self._batches()
        super().run_epoch()

    def run_iter(self, idx: int, data_batch: Mapping[str, Any]) -> None:
        """Run one step on both batches."""
        super().run_iter(idx, {**data_batch, 'unlabelled': next(self._unlabelled)})

    def _batches(self) -> Iterator[Any]:
        loader = self.unlabelled_dataloader
        sampler = getattr(loader.batch_sampler, 'sampler', loader.sampler)
        for passes in count():
            if hasattr(sampler, 'set_epoch'):
                # Other numbers than those of any later epoch's first pass.
                sampler.set_epoch(self.epoch + passes * self.max_epochs)
            yield from loader
