"""Training images as they are read for evaluation."""

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config
from mmengine.dataset import Compose

from mmkd.datasets.unwrap import unwrap
from mmkd.registry import DATASETS


def training_set(cfg: Config) -> Any:
    """The config's training set, its images as for evaluation.

    Raises:
        ValueError: If it has a pipeline and the config's validation set none.
    """
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    for leaf in unwrap(dataset):
        if hasattr(leaf, 'augment'):
            leaf.augment = False
        elif hasattr(leaf, 'pipeline'):
            leaf.pipeline = Compose(_evaluation_pipeline(cfg))
    return dataset


def _evaluation_pipeline(cfg: Config) -> Sequence[dict]:
    loader = cfg.get('val_dataloader') or {}
    pipeline = loader.get('dataset', {}).get('pipeline')
    if pipeline is None:
        raise ValueError(
            'val_dataloader.dataset: expected one with a `pipeline`, by which the training images '
            'are read without augmentation, got none'
        )
    return pipeline
