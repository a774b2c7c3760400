"""Superclasses: clusters of the training set by the features of a teacher.

The images are read as for evaluation, without augmentation.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from numpy.typing import NDArray
from torch import Tensor, nn

from mmkd.datasets.evaluation_images import training_set
from mmkd.datasets.explained_errors import explain_empty_datasets, explain_unreadable_images
from mmkd.datasets.samplers.sample_labels import sample_labels
from mmkd.functional.checks import check_positive_int
from mmkd.teachers import FrozenTeacher


def cluster(features: NDArray[np.floating], num_clusters: int, seed: int) -> NDArray[np.integer]:
    """Cluster of each row, by mini-batch k-means.

    Args:
        features: Shape (N, D).
        num_clusters: At most N.
        seed: Of the k-means.

    Raises:
        ValueError: If features are not finite.
        ImportError: If scikit-learn is missing.
    """
    if not np.isfinite(features).all():
        raise ValueError(
            "features: expected finite numbers, got others; is the teacher's "
            'checkpoint whole, and does its precision fit?'
        )
    try:
        from sklearn.cluster import MiniBatchKMeans
    except ImportError as error:
        raise ImportError(
            'superclasses need scikit-learn; install it with `pip install mmkd[all]`'
        ) from error
    return MiniBatchKMeans(num_clusters, random_state=seed, n_init='auto').fit(features).labels_


def teacher_features(
    teacher: FrozenTeacher, batches: Iterator[dict], source: str
) -> NDArray[np.float32]:
    """Features of all batches, shape (N, D).

    Args:
        teacher: The teacher, which preprocesses the batches itself.
        batches: As a data loader gives them.
        source: Name of the module whose output are the features.

    Raises:
        ValueError: If the teacher has no such module, or it does not give features.
    """
    model = teacher.model.to(get_device())
    features = []
    with _outputs(model, source) as outputs:
        for batch in batches:
            batch = model.data_preprocessor(batch, False)
            teacher(batch['inputs'], batch.get('data_samples'))
            if len(outputs) != 1:
                raise ValueError(
                    f'source: expected a module that runs once a batch, {source} ran '
                    f'{len(outputs)} times'
                )
            features.append(_pooled(outputs.pop(), source))
    return torch.cat(features).numpy()


@contextmanager
def _outputs(model: nn.Module, source: str) -> Iterator[list[Any]]:
    """List that the module's outputs are appended to, while the block runs."""
    modules = dict(model.named_modules())
    if source not in modules:
        raise ValueError(
            f'source: expected a module of the teacher, such as {[*dict(model.named_children())]}, '
            f'got {source!r}'
        )
    outputs: list[Any] = []
    handle = modules[source].register_forward_hook(lambda _, __, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()


def _pooled(output: Any, source: str) -> Tensor:
    """Features (B, D) of a module's output: the last of several, maps averaged over positions."""
    last = output[-1] if isinstance(output, tuple | list) else output
    if not isinstance(last, Tensor) or last.ndim not in (2, 4):
        found = tuple(last.shape) if isinstance(last, Tensor) else type(last).__name__
        raise ValueError(
            f'source: expected an output (B, D) or (B, D, H, W) of {source}, got {found}'
        )
    last = last.float()
    return (last.mean((2, 3)) if last.ndim == 4 else last).cpu()


def _batches(dataset: Any, cfg: Config, batch_size: int) -> Any:
    """Loader of the data set in its order."""
    kept = ('num_workers', 'collate_fn')
    loader = {key: cfg.train_dataloader[key] for key in kept if key in cfg.train_dataloader}
    sampler = {'type': 'DefaultSampler', 'shuffle': False}
    return Runner.build_dataloader(
        {**loader, 'batch_size': batch_size, 'dataset': dataset, 'sampler': sampler}
    )


def _check_clusters(num_clusters: int, num_samples: int) -> None:
    check_positive_int('clusters', num_clusters)
    if num_clusters > num_samples:
        raise ValueError(
            f'clusters: expected at most the number of samples, {num_samples}, got {num_clusters}'
        )


def superclasses(
    cfg: Config, num_clusters: int, *, source: str, seed: int, batch_size: int
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Superclass and label of each sample of the config's training set, in its order.

    Raises:
        ValueError: If the config has not one teacher, or an argument does not fit.
    """
    check_positive_int('batch_size', batch_size)
    teacher = cfg.model.get('teacher', {})
    if not {'cfg_path', 'type'} & set(teacher):
        raise ValueError(f'model.teacher: expected the config of one teacher, got {[*teacher]}')
    with (
        DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')),
        explain_empty_datasets(),
        explain_unreadable_images(),
    ):
        dataset = training_set(cfg)
        labels = sample_labels(dataset)
        _check_clusters(num_clusters, len(labels))
        features = teacher_features(
            FrozenTeacher.from_config(teacher), _batches(dataset, cfg, batch_size), source
        )
    return cluster(features, num_clusters, seed), labels
