"""Public checkpoints of RepDistiller's CIFAR networks, under MMPretrain's names."""

import argparse
import tempfile
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from torch import Tensor

from mmkd.api.running import build_runner, load_config
from mmkd.cli.convert_repdistiller import ACCURACIES, ARCHITECTURES, TOLERANCE, architectures
from mmkd.exporting import student_config
from mmkd.models.building import build_model
from mmkd.storage.checkpoint import CheckpointMismatchError, load_all, read_checkpoint

# The public networks' names of the last layer.
CLASSIFIERS = ('fc.', 'linear.', 'classifier.0.', 'classifier.')


def load_architecture(name: str, options: dict | None = None) -> Config:
    """Load a config, or the model file of a CIFAR network, with the scope of MMPretrain.

    Args:
        name: Config file, ``pkg::`` config or one of :func:`architectures`. Of a distillation
            config the student is taken.
        options: Merged into the config.

    Raises:
        ValueError: If there is no such network.
    """
    if not name.endswith('.py'):
        if name not in architectures():
            raise ValueError(
                f'config: expected a .py file or one of {architectures()}, got {name!r}'
            )
        name = str(ARCHITECTURES / f'{name}.py')
    cfg = student_config(load_config(name, options))
    cfg.setdefault('default_scope', 'mmpretrain')
    return cfg


def build_classifier(cfg: Config) -> BaseModel:
    """Build the model of a config of :func:`load_architecture`."""
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return build_model(cfg.model)


def mmpretrain_name(name: str) -> str:
    """Name in MMPretrain of a tensor of the public networks.

    Example:
        >>> mmpretrain_name('layer1.0.conv1.weight'), mmpretrain_name('linear.bias')
        ('backbone.layer1.0.conv1.weight', 'head.fc.bias')
    """
    for classifier in CLASSIFIERS:
        if name.startswith(classifier):
            return f'head.fc.{name.removeprefix(classifier)}'
    return f'backbone.{name}'


def load_public(model: BaseModel, path: str) -> dict[str, Any]:
    """Load a public checkpoint into a classifier; every tensor has to fit.

    Args:
        model: An MMPretrain classifier.
        path: File or URL: a dict with the state dict under ``model``.

    Returns:
        What the file records of ``epoch`` and ``accuracy`` (top-1 in percent).

    Raises:
        ValueError: If the file is no such checkpoint, or holds NaN or infinity.
        CheckpointMismatchError: Lists tensors missing, unexpected and of another shape, and names
            the network that the file is of.
    """
    # Files of a run's end hold its command line options, too.
    with torch.serialization.safe_globals([argparse.Namespace]):
        loaded = read_checkpoint(path)
    state_dict = _public_state_dict(loaded, path)
    try:
        load_all(model, state_dict, path)
    except CheckpointMismatchError as error:
        raise CheckpointMismatchError(f'{error}\n{_network_of(state_dict)}') from error
    meta: dict[str, Any] = {'epoch': int(loaded['epoch'])} if 'epoch' in loaded else {}
    accuracies = [loaded[key] for key in ACCURACIES if key in loaded]
    if accuracies:
        # Tensors of one element in files of PyTorch, numbers of NumPy in some.
        meta['accuracy'] = torch.as_tensor(accuracies[0]).item()
    return meta


def _public_state_dict(loaded: Mapping[str, Any], path: str) -> dict[str, Tensor]:
    """The finite tensors of the file, under MMPretrain's names."""
    state_dict = loaded.get('model')
    if not isinstance(state_dict, Mapping) or not all(
        isinstance(value, Tensor) for value in state_dict.values()
    ):
        raise ValueError(
            f'checkpoint: expected a state dict of tensors under `model` in {path}, '
            f'got the keys {[*loaded][:10]}'
        )
    spoiled = [name for name, value in state_dict.items() if not value.isfinite().all()]
    if spoiled:
        raise ValueError(f'checkpoint: expected finite weights in {path}, got {spoiled[:10]}')
    return {mmpretrain_name(n.removeprefix('module.')): v for n, v in state_dict.items()}


def _network_of(state_dict: Mapping[str, Tensor]) -> str:
    shapes = _backbone_shapes(state_dict)
    for name in architectures():
        model = build_classifier(load_architecture(name))
        if _backbone_shapes(model.state_dict()) == shapes:
            return f'The backbone in the file is {name}.'
    return f'The backbone in the file is none of {architectures()}.'


def _backbone_shapes(state_dict: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    # Files of PyTorch before 0.4.1 have no counters of batch normalization.
    return {
        name: value.shape
        for name, value in state_dict.items()
        if name.startswith('backbone.') and not name.endswith('num_batches_tracked')
    }


def evaluate(cfg: Config, state_dict: Mapping[str, Tensor]) -> float:
    """Top-1 accuracy, in percent, on the config's test data.

    Raises:
        ValueError: If the config has no test data, or does not evaluate accuracy.
    """
    if cfg.get('test_dataloader') is None:
        raise ValueError('--evaluate: expected a config with a `test_dataloader`')
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        runner = build_runner(cfg)
        runner.model.load_state_dict(state_dict)
        metrics = runner.test()
    if 'accuracy/top1' not in metrics:
        raise ValueError(f'--evaluate: expected the metric accuracy/top1, got {[*metrics]}')
    return metrics['accuracy/top1']


def check_accuracy(evaluated: float, recorded: float) -> None:
    """Raise ValueError unless the two accuracies, in percent, are within 0.1 points."""
    if not abs(evaluated - recorded) <= TOLERANCE:
        raise ValueError(
            f'--evaluate: expected the recorded accuracy {recorded:.2f}, got {evaluated:.2f}; '
            'are data, normalization and network those of the training?'
        )
