"""A teacher or a student: what it returns for images, or for the objects in them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from mmkd.algorithms.recorder_sources import check_module
from mmkd.pairing.inspection.trace import Calls, Output, trace
from mmkd.recorders import InstanceFeaturesRecorder, LevelOutputsRecorder
from mmkd.recorders.instance_boxes import ground_truth_boxes
from mmkd.recorders.step_context import StepContext, open_step
from mmkd.studies.image_data import Objects
from mmkd.studies.object_logits import ObjectLogits
from mmkd.studies.study import Outputs


class Network:
    """A frozen model, recorded at some of its layers.

    Args:
        name: Name in results.
        model: A classifier of MMPretrain, or a detector of MMDetection.
        layers: Modules to record. None chooses: each block of the backbone, and the neck.
        columns: The network's label of each class of the data. None if they are the same.
        has_logits: Whether the network knows the classes of the data.

    Raises:
        ValueError: If the model lacks a module.
    """

    def __init__(
        self,
        name: str,
        model: BaseModel,
        layers: Sequence[str] | None = None,
        columns: Sequence[int] | None = None,
        has_logits: bool = True,
    ) -> None:
        self.name, self.columns = name, columns
        self.model: Any = model.requires_grad_(False).eval().to(get_device())
        for module in self.model.modules():
            # The activation after a recorded output must not overwrite it.
            if getattr(module, 'inplace', False):
                module.inplace = False
        for layer in layers or ():
            check_module('layers' if name != 'teacher' else 'teacher_layers', layer, model, name)
        self._given = None if layers is None else [*layers]
        self._recorders: dict[str, Any] = {}
        self.object_logits = None if self.is_classifier else ObjectLogits.of(model)
        self.has_logits = has_logits and (self.is_classifier or self.object_logits is not None)

    @property
    def is_classifier(self) -> bool:
        """Whether the model classifies whole images."""
        return hasattr(self.model, 'head') and hasattr(self.model.head, 'pre_logits')

    @torch.no_grad()
    def outputs(self, raw: Any, objects: Objects | None = None, layers: bool = True) -> Outputs:
        """Run the network on a batch of the data loader.

        Args:
            raw: The batch.
            objects: The true objects in it, for a detector.
            layers: Record the layers.

        Raises:
            ValueError: If a layer has no output for each sample.
        """
        data = self.model.data_preprocessor(raw, False)
        inputs = data['inputs']
        names = self._layer_names(inputs) if layers else []
        with self._recording(names, inputs) as recorders:
            if objects is None:
                return self._of_images(inputs, recorders)
            return self._of_objects(inputs, objects, recorders)

    def features(self, inputs: Tensor) -> Tensor:
        """What the head reads of preprocessed images, differentiable. Shape (B, D)."""
        found = self.model.extract_feat(inputs)
        if self.is_classifier:
            return self.model.head.pre_logits(found).flatten(1)
        levels = [leaf for leaf in pytree.tree_leaves(found) if isinstance(leaf, Tensor)]
        return torch.cat([level.mean((2, 3)) for level in levels], 1)

    def _of_images(self, inputs: Tensor, recorders: dict[str, Any]) -> Outputs:
        found = self.model.extract_feat(inputs)
        logits = self.model.head(found)
        layers = {
            name: _image_rows(name, recorder.get_record_data(), len(inputs))
            for name, recorder in recorders.items()
        }
        features = self.model.head.pre_logits(found)
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise ValueError(f'{self.name}: expected logits (B, C) of the head')
        if layers:
            layers['logits'] = logits
        return Outputs(features.flatten(1), self._in_classes(logits), layers)

    def _of_objects(self, inputs: Tensor, objects: Objects, recorders: dict[str, Any]) -> Outputs:
        found = self.model.extract_feat(inputs)
        boxes = ground_truth_boxes(objects.samples).to(inputs)
        logits = None
        if self.object_logits is not None:
            logits = self._in_classes(self.object_logits(found, boxes))
        height = inputs.shape[-2]
        with open_step(StepContext(objects.samples)):
            layers = {
                name: _object_rows(name, recorder, height) for name, recorder in recorders.items()
            }
        features = layers.pop(_FEATURES)
        sigmoid = self.object_logits is not None and self.object_logits.sigmoid
        return Outputs(features, logits, layers, sigmoid)

    def _in_classes(self, logits: Tensor) -> Tensor | None:
        if not self.has_logits:
            return None
        return logits if self.columns is None else logits[:, [*self.columns]]

    def _layer_names(self, inputs: Tensor) -> list[str]:
        if self._given is None:
            size = inputs.shape[-2], inputs.shape[-1]
            self._given = _default_layers(self.model, trace(self.model, size), self.is_classifier)
        return self._given

    @contextmanager
    def _recording(self, names: Sequence[str], inputs: Tensor) -> Iterator[dict[str, Any]]:
        """Record layers, and a detector's pyramid, while the block runs."""
        kind: Any = LevelOutputsRecorder if self.is_classifier else InstanceFeaturesRecorder
        sources = {name: name for name in names}
        if not self.is_classifier:
            sources[_FEATURES] = 'neck' if getattr(self.model, 'with_neck', False) else 'backbone'
        for name, source in sources.items():
            if name not in self._recorders:
                self._recorders[name] = kind(source)
                self._recorders[name].initialize(self.model)
        active: dict[str, BaseRecorder] = {name: self._recorders[name] for name in sources}
        with ExitStack() as stack:
            for recorder in active.values():
                stack.enter_context(recorder)
                stack.callback(recorder.reset_data_buffer)
            yield active


_FEATURES = ''  # the recorder of a detector's pyramid; no module has this name


def _default_layers(model: nn.Module, calls: Calls, is_classifier: bool) -> list[str]:
    """Blocks of the backbone that run once and have weights, and the neck."""
    names = [f'backbone.{name}' for name in _blocks(model.get_submodule('backbone'))]
    names.append('neck')
    return [name for name in names if _is_layer(calls.get(name, []), is_classifier)]


def _is_layer(calls: Sequence[Sequence[Output]], is_classifier: bool) -> bool:
    """Whether a module runs once, and returns rows, or maps of the same channels."""
    if len(calls) != 1 or not calls[0]:
        return False
    shapes = [output.shape for output in calls[0]]
    axes = range(2, 5) if is_classifier else [4]
    alike = len({shape[1:2] for shape in shapes}) == 1
    return alike and all(len(shape) in axes and shape[0] == 1 for shape in shapes)


def _blocks(module: nn.Module) -> Iterator[str]:
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList):
            yield from (f'{name}.{part}' for part in _blocks(child))
        elif any(parameter.ndim > 1 for parameter in child.parameters()):
            yield name


def _image_rows(name: str, record: Any, images: int) -> Tensor:
    tensors = [leaf for leaf in pytree.tree_leaves(record) if isinstance(leaf, Tensor)]
    rows = [each.flatten(1) for each in tensors if each.ndim > 1 and len(each) == images]
    if not rows or len(rows) < len(tensors):
        shapes = [tuple(each.shape) for each in tensors]
        raise ValueError(f'layers: {name}: expected outputs of {images} images, got {shapes}')
    return torch.cat(rows, 1).float()


def _object_rows(name: str, recorder: Any, height: int) -> Tensor:
    try:
        recorder.infer_strides(height)
        return recorder.get_record_data()
    except (ValueError, TypeError, IndexError) as error:
        raise ValueError(f'layers: {name or "the pyramid"}: {error}') from error
