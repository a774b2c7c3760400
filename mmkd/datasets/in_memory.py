"""Classification data in memory, with whole batches selected and augmented at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.registry import FUNCTIONS
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset, get_worker_info


class InMemoryDataset(Dataset):
    """Images and labels in memory. A batch takes a few tensor operations on their device.

    Use it for images so small that reading, augmenting and collating them one by one takes longer
    than the training step. The data loader asks for whole batches (``__getitems__``) and needs
    ``collate_fn=dict(type='mmkd_batch_collate')``. A batch is ``dict(inputs=...,
    data_samples=...)`` for ``mmpretrain``'s ``ClsDataPreprocessor``: uint8 images of shape
    ``(B, 3, H, W)`` on ``device``, and a list of ``mmpretrain.structures.DataSample`` with
    ``gt_label``, ``img_shape`` ``(H, W)`` and ``sample_idx``. Images stay RGB, so give the
    preprocessor ``to_rgb=False``, and mean and std in RGB order.

    Augmentation draws from torch's global generator of ``device``, once a batch.
    ``torch.manual_seed`` and :class:`mmkd.hooks.EpochSeedHook` make it reproducible.

    Args:
        images: uint8 RGB images of shape ``(N, 3, H, W)``, array or Tensor, ``N`` at least 1.
        labels: Integer labels of shape ``(N,)``. Default None: unlabeled.
        metainfo: Facts about the data set, such as ``classes``. Default None: nothing.
        augment: Whether to crop and flip at random. Default False.
        crop_padding: Pixels of zeros to add on each side before a random crop to the old size. 0
            disables the crop. Default 4.
        flip: Whether to mirror half of the images. Default True.
        num_samples: Size of a class-balanced subset, in the order of the images. The counts of two
            classes differ by at most one, unless a class runs out. With the same seed, a larger
            subset contains the smaller. Default None: all.
        num_holdout: Size of a class-balanced part that is set aside, such as 5000 of CIFAR's
            training images to choose loss weights by. The data set is then the rest, or this part
            if ``held_out``. Default 0.
        held_out: Whether to take the part that is set aside. Default False.
        seed: Non-negative seed that chooses the subset and what is set aside. Default 0.
        with_labels: Whether to keep the labels. Default True.
        device: Device of the images and batches. Default None: MMEngine's device (an accelerator
            if there is one, else the CPU). Labels stay on the CPU.

    Raises:
        TypeError: If the images are not uint8, or the labels are not integers.
        ValueError: If a shape, ``crop_padding``, ``num_samples``, ``num_holdout`` or ``seed`` is
            out of its range, or ``held_out`` has no ``num_holdout``.

    Example:
        >>> data = InMemoryDataset(np.zeros((4, 3, 8, 8), np.uint8), np.arange(4), device='cpu')
        >>> batch = data.__getitems__([2, 0])
        >>> batch['inputs'].shape, [int(sample.gt_label) for sample in batch['data_samples']]
        (torch.Size([2, 3, 8, 8]), [2, 0])
    """

    def __init__(
        self,
        images: np.ndarray | Tensor,
        labels: np.ndarray | Tensor | Sequence[int] | None = None,
        *,
        metainfo: Mapping[str, Any] | None = None,
        augment: bool = False,
        crop_padding: int = 4,
        flip: bool = True,
        num_samples: int | None = None,
        num_holdout: int = 0,
        held_out: bool = False,
        seed: int = 0,
        with_labels: bool = True,
        device: str | torch.device | None = None,
    ) -> None:
        images = torch.as_tensor(images)
        known = None if labels is None else torch.as_tensor(labels)
        _check(images, known, crop_padding, seed)
        groups = (torch.zeros(len(images)) if known is None else known).numpy()
        chosen = _part(groups, num_samples, num_holdout, held_out, seed)
        if chosen is not None:
            images = images[chosen]
            known = None if known is None else known[chosen]
        self.images = images.to(device or get_device())
        self.labels = known.long() if with_labels and known is not None else None
        self.metainfo = dict(metainfo or {})
        self.augment = augment
        self.crop_padding = crop_padding
        self.flip = flip

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one sample, augmented, in MMPretrain's format. ``inputs`` is ``(3, H, W)``."""
        batch = self.__getitems__([range(len(self))[index]])
        return {key: value[0] for key, value in batch.items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """Return a finished batch.

        Args:
            indices: The samples, each in ``[0, len(self))``.

        Raises:
            RuntimeError: In a worker process of the data loader, if the images are not on the CPU.
        """
        worker = get_worker_info()
        if worker is not None and self.images.device.type != 'cpu':
            raise RuntimeError(
                f'num_workers: expected 0, as the images are on {self.images.device} and worker '
                f"processes cannot use them, got {worker.num_workers}; or set device='cpu'"
            )
        chosen = torch.as_tensor(indices)
        images = self.images.index_select(0, chosen.to(self.images.device))
        if self.augment:
            images = _crop_and_flip(images, self.crop_padding, self.flip)
        return _Batch(inputs=images, data_samples=self._data_samples(indices, chosen))

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return what MMPretrain knows of a sample: sample_idx, img_shape and perhaps gt_label."""
        index = range(len(self))[index]
        info = {'sample_idx': index, 'img_shape': self._img_shape}
        return info if self.labels is None else info | {'gt_label': int(self.labels[index])}

    def get_cat_ids(self, index: int) -> list[int]:
        """Return a list with the label of a sample. The list is empty if there are no labels."""
        return [] if self.labels is None else [int(self.labels[index])]

    def get_gt_labels(self) -> np.ndarray:
        """Return all labels, shape ``(N,)``, int64.

        Raises:
            ValueError: If the data set is unlabeled.
        """
        if self.labels is None:
            raise ValueError(f'{type(self).__name__}: has no labels')
        return self.labels.numpy()

    @property
    def _img_shape(self) -> tuple[int, ...]:
        return tuple(self.images.shape[-2:])

    def _data_samples(self, indices: Sequence[int], chosen: Tensor) -> list[Any]:
        """Return one DataSample an image.

        Fields are set one by one. ``DataSample(metainfo=...)`` deep-copies and takes 3x as long.
        """
        from mmpretrain.structures import DataSample  # the import takes seconds

        img_shape = self._img_shape
        samples = []
        for index in indices:
            sample = DataSample()
            sample.set_field(img_shape, 'img_shape', field_type='metainfo')
            sample.set_field(index, 'sample_idx', field_type='metainfo')
            samples.append(sample)
        if self.labels is not None:
            for sample, label in zip(samples, self.labels[chosen].split(1), strict=True):
                sample.set_field(label, 'gt_label', dtype=Tensor)
        return samples


class _Batch(dict):
    """A finished batch. Collate functions for lists of samples fail with an explanation."""

    def __missing__(self, key: Any) -> Any:
        if key == 0:
            raise TypeError(
                'collate_fn: expected one for finished batches; set '
                "collate_fn=dict(type='mmkd_batch_collate') of the data loader"
            )
        raise KeyError(key)


@FUNCTIONS.register_module('mmkd_batch_collate')
def pass_batch_on(batch: dict[str, Any]) -> dict[str, Any]:
    """Return the finished batch: ``collate_fn`` for loaders of an :class:`InMemoryDataset`.

    Args:
        batch: The data set's finished batch.

    Raises:
        TypeError: If the data set returned a list of samples.

    Example:
        >>> train_dataloader = dict(num_workers=0, collate_fn=dict(type='mmkd_batch_collate'))
    """
    if not isinstance(batch, dict):
        raise TypeError(
            "collate_fn: 'mmkd_batch_collate' expected the finished batch of an InMemoryDataset, "
            f"got a {type(batch).__name__}; use 'pseudo_collate' with other data sets"
        )
    return batch


def _check(images: Tensor, labels: Tensor | None, crop_padding: int, seed: int) -> None:
    if images.dtype != torch.uint8:
        raise TypeError(f'images: expected uint8, got {images.dtype}')
    if images.ndim != 4 or images.shape[1] != 3 or images.numel() == 0:
        raise ValueError(
            f'images: expected shape (N, 3, H, W), N at least 1, got {tuple(images.shape)}'
        )
    if labels is not None and (labels.is_floating_point() or labels.dtype == torch.bool):
        raise TypeError(f'labels: expected integers, got {labels.dtype}')
    if labels is not None and labels.shape != images.shape[:1]:
        raise ValueError(
            f'labels: expected shape ({len(images)},), one an image, got {tuple(labels.shape)}'
        )
    if crop_padding < 0:
        raise ValueError(f'crop_padding: expected at least 0 pixels, got {crop_padding}')
    if seed < 0:
        raise ValueError(f'seed: expected a non-negative integer, got {seed}')


def _part(
    labels: np.ndarray, num_samples: int | None, num_holdout: int, held_out: bool, seed: int
) -> np.ndarray | None:
    """Return ascending indices of the samples of a part; None for all."""
    if not 0 <= num_holdout < len(labels):
        raise ValueError(
            f'num_holdout: expected 0 to {len(labels) - 1}, fewer than there are images, got '
            f'{num_holdout}'
        )
    if held_out and not num_holdout:
        raise ValueError('held_out: expected a num_holdout of at least 1 beside it, got 0')
    part = None
    if num_holdout:
        part = _balanced_subset(labels, num_holdout, seed)
        part = part if held_out else np.setdiff1d(np.arange(len(labels)), part)
    if num_samples is None:
        return part
    part = np.arange(len(labels)) if part is None else part
    return part[_balanced_subset(labels[part], num_samples, seed)]


def _balanced_subset(labels: np.ndarray, num_samples: int, seed: int) -> np.ndarray:
    """Return ascending indices of samples, taken from the classes in turn."""
    if not 1 <= num_samples <= len(labels):
        raise ValueError(
            f'num_samples: expected 1 to {len(labels)}, the number of images, got {num_samples}'
        )
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind='stable')]
    _, starts, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    rounds = np.arange(len(labels)) - np.repeat(starts, counts)
    dealt = by_class[np.argsort(rounds, kind='stable')]
    return np.sort(dealt[:num_samples])


def _crop_and_flip(images: Tensor, padding: int, flip: bool) -> Tensor:
    """Crop the padded images at random places to their old size. Mirror half of them."""
    batch, channels, height, width = images.shape
    device = images.device
    top, left = torch.randint(2 * padding + 1, (2, batch, 1), device=device)
    rows = top + torch.arange(height, device=device)
    columns = left + torch.arange(width, device=device)
    if flip:
        mirrored = torch.rand(batch, 1, device=device) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    # One gather does both. It is several times as fast as indexing windows, then a flip.
    pixels = rows[:, :, None] * (width + 2 * padding) + columns[:, None, :]
    pixels = pixels.reshape(batch, 1, -1).expand(-1, channels, -1)
    return F.pad(images, (padding,) * 4).flatten(2).gather(2, pixels).view_as(images)
