"""Modules from an image to what an application needs; the exporter traces them."""

from typing import Any, Literal

from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmkd.deploy.graph.batched_nms import keep_best

InputKind = Literal['uint8', 'float32', 'normalized']
MAX_BOXES = 300  # of a model whose test settings have no `max_per_img`


class UnsupportedModelError(ValueError):
    """The model cannot be exported. The message names what stands in the way."""


class ImageGraph(nn.Module):
    """Normalization and network.

    Args:
        model: The model, for evaluation.
        size: Height and width of the images.
        kind: ``'uint8'`` or ``'float32'``: pixels of 0 to 255, as RGB, normalized inside.
            ``'normalized'``: what the network itself takes.
        swap: The network takes BGR.
    """

    outputs: tuple[str, ...] = ()

    def __init__(
        self, model: BaseModel, size: tuple[int, int], kind: InputKind, swap: bool
    ) -> None:
        super().__init__()
        self.model, self.size, self.kind, self.swap = model, size, kind, swap

    def normalized(self, image: Tensor) -> Tensor:
        """Return what the network takes."""
        if self.kind == 'normalized':
            return image
        image = image.float()
        if self.swap:
            image = image[:, [2, 1, 0]]
        preprocessor = self.model.data_preprocessor
        if getattr(preprocessor, '_enable_normalize', False):
            image = (image - preprocessor.mean) / preprocessor.std
        return image

    def raw(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the head, without the normalization."""
        raise NotImplementedError


class ClassifierGraph(ImageGraph):
    """Probabilities (B, C), or the logits."""

    outputs = ('probabilities',)

    def raw(self, image: Tensor) -> tuple[Tensor, ...]:
        logits = self.model(image, mode='tensor')
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise UnsupportedModelError(
                f'model: expected logits (B, C) of the head {type(self.model.head).__name__}, got '
                f'{type(logits).__name__}'
            )
        return (logits,)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        from mmpretrain.models.heads import MultiLabelClsHead

        (logits,) = self.raw(self.normalized(image))
        if isinstance(self.model.head, MultiLabelClsHead):
            return (logits.sigmoid(),)
        return (logits.softmax(-1),)


class DetectorGraph(ImageGraph):
    """Boxes (B, N, 4) in pixels of the input, scores (B, N), descending, and labels (B, N)."""

    outputs = ('boxes', 'scores', 'labels')


class DenseGraph(DetectorGraph):
    """A detector of one stage."""

    def raw(self, image: Tensor) -> tuple[Tensor, ...]:
        return flat_tensors(self.model.bbox_head(self.model.extract_feat(image)))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        from mmdet.models.dense_heads import YOLOXHead

        from mmkd.deploy.graph.dense_candidates import candidates

        head = self.model.bbox_head
        outputs = head(self.model.extract_feat(self.normalized(image)))
        found = candidates(head, outputs, self.size)
        limited = not isinstance(head, YOLOXHead)  # whose own code takes no `max_per_img`
        limit = head.test_cfg.get('max_per_img', MAX_BOXES) if limited else MAX_BOXES
        return keep_best(*found, head.test_cfg.nms.get('iou_threshold'), limit)


class RegionGraph(DetectorGraph):
    """Faster R-CNN, or the boxes of Mask R-CNN."""

    def raw(self, image: Tensor) -> tuple[Tensor, ...]:
        raise UnsupportedModelError(
            f'raw: expected a model of one stage, got {type(self.model).__name__}, whose second '
            'stage starts from decoded proposals; export it without raw'
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        from mmkd.deploy.graph.region_candidates import region_candidates

        model = self.model
        features = model.extract_feat(self.normalized(image))
        found = region_candidates(model.rpn_head, model.roi_head, features, self.size)
        settings = model.roi_head.test_cfg
        return keep_best(*found, settings.nms.iou_threshold, settings.max_per_img)


class RawGraph(nn.Module):
    """The outputs of the head, after the normalization.

    Args:
        graph: The whole graph.
    """

    def __init__(self, graph: ImageGraph) -> None:
        super().__init__()
        self.whole = graph  # `graph` is a name of torch.fx

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.whole.raw(self.whole.normalized(image))


def flat_tensors(value: Any) -> tuple[Tensor, ...]:
    """Return the tensors in nested lists and tuples, in order."""
    if isinstance(value, Tensor):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(tensor for part in value for tensor in flat_tensors(part))
    if value is None or isinstance(value, BaseDataElement):
        return ()
    raise UnsupportedModelError(f'raw: expected tensors of the head, got {type(value).__name__}')
