"""The images that networks are compared on, with the true boxes of their objects."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from mmkd.datasets.evaluation_images import training_set
from mmkd.registry import DATASETS

SPLITS = ('val', 'train', 'test')


class Objects(NamedTuple):
    """The true objects of a batch.

    Attributes:
        samples: For each image, ``gt_instances.bboxes`` in pixels of the networks' input.
        labels: Class of each object of the batch. Shape (N,).
    """

    samples: Sequence[BaseDataElement]
    labels: Tensor


class ImageData:
    """Images of a split of a config's data, in their order, without augmentation.

    Args:
        cfg: The student's config.
        split: ``'val'``, ``'train'`` or ``'test'``.
        images: Number of images to use, evenly spaced. None uses all.

    Raises:
        ValueError: If the config has no such data.
    """

    def __init__(self, cfg: Config, split: str, images: int | None = None) -> None:
        loader: Any = cfg.get(f'{split}_dataloader') or {}
        if not loader.get('dataset'):
            raise ValueError(f'split: expected {split}_dataloader.dataset in the config, got none')
        if split == 'train':
            self.dataset = training_set(cfg)
        else:
            self.dataset = DATASETS.build(copy.deepcopy(loader.dataset))
        total = len(self.dataset)
        count = min(total, images or total)
        self.indices = [index * total // count for index in range(count)]
        self._settings = {
            key: loader[key] for key in ('batch_size', 'num_workers', 'collate_fn') if key in loader
        }

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes.

        Raises:
            ValueError: If the data does not name them.
        """
        names = (getattr(self.dataset, 'metainfo', None) or {}).get('classes')
        if not names:
            raise ValueError("the data's metainfo: expected `classes`, got none")
        return tuple(map(str, names))

    def __iter__(self) -> Iterator[tuple[Sequence[int], Any]]:
        """Yield batches, with the indices of their images."""
        loader = Runner.build_dataloader(
            {**self._settings, 'dataset': self.dataset, 'sampler': _Indices(self.indices)}
        )
        done = 0
        for batch in loader:
            size = len(batch['inputs'])
            yield self.indices[done : done + size], batch
            done += size

    def objects(self, indices: Sequence[int], samples: Sequence[BaseDataElement]) -> Objects:
        """The true objects of some images.

        Args:
            indices: The images.
            samples: Their samples, with ``scale_factor`` (width, height) and ``img_shape``.
        """
        found, labels = [], []
        for index, sample in zip(indices, samples, strict=True):
            instances = [
                each
                for each in self.dataset.get_data_info(index)['instances']
                if not each.get('ignore_flag')
            ]
            boxes = torch.tensor([each['bbox'] for each in instances], dtype=torch.float)
            scale = torch.tensor(sample.metainfo.get('scale_factor', (1.0, 1.0)))[:2].float()
            labels += [int(each['bbox_label']) for each in instances]
            element = BaseDataElement(metainfo=dict(img_shape=sample.img_shape))
            element.gt_instances = InstanceData(bboxes=boxes.view(-1, 4) * scale.repeat(2))
            found.append(element)
        return Objects(found, torch.tensor(labels, dtype=torch.long))


class _Indices(list):
    """A sampler of fixed indices."""


def image_labels(samples: Sequence[Mapping[str, Any]]) -> Tensor:
    """Class of each image of a classifier's batch.

    Raises:
        ValueError: If an image has no label, or several.
    """
    labels: list[Any] = [sample.get('gt_label') for sample in samples]
    if any(label is None or label.numel() != 1 for label in labels):
        raise ValueError('data: expected images with one label each, got none or several')
    return torch.cat([label.flatten() for label in labels]).cpu()
