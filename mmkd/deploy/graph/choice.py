"""The graph that fits a model."""

from typing import Any

from mmengine.model import BaseModel

from mmkd.deploy.graph.image_graphs import (
    ClassifierGraph,
    DenseGraph,
    ImageGraph,
    InputKind,
    RegionGraph,
    UnsupportedModelError,
)

FAMILIES = (
    'GFL, RetinaNet, FCOS, ATSS, RTMDet, YOLOX, Faster and Mask R-CNN of MMDetection, and the '
    'classifiers of MMPretrain'
)


def graph_of(
    model: BaseModel, size: tuple[int, int], kind: InputKind, swap: bool, raw: bool = False
) -> ImageGraph:
    """Return the graph of a model (see :class:`~mmkd.deploy.graph.image_graphs.ImageGraph`).

    Args:
        model: The model.
        size: Height and width of the images.
        kind: What the input is.
        swap: The network takes BGR.
        raw: Only the head's outputs are needed, so its way to predict need not be known.

    Raises:
        UnsupportedModelError: If the model's way to predict is not known. Names the part.
    """
    head = getattr(model, 'bbox_head', None)
    kinds: list[tuple[bool, type[ImageGraph]]] = [
        (_is_classifier(model), ClassifierGraph),
        (_is_region_detector(model), RegionGraph),
        (_is_dense_detector(model, raw), DenseGraph),
    ]
    for fits, graph in kinds:
        if fits:
            if not raw:
                _check_nms(model)
            return graph(model.eval(), size, kind, swap)
    part = head if head is not None else getattr(model, 'roi_head', None)
    name = f'{type(model).__name__} ({type(part).__name__})' if part else type(model).__name__
    raise UnsupportedModelError(f'model: expected one of {FAMILIES}, got {name}')


def _is_classifier(model: Any) -> bool:
    return hasattr(model, 'head') and hasattr(model, 'backbone') and not hasattr(model, 'bbox_head')


def _is_region_detector(model: Any) -> bool:
    from mmkd.deploy.graph.region_candidates import is_known_pair

    heads = getattr(model, 'rpn_head', None), getattr(model, 'roi_head', None)
    return None not in heads and is_known_pair(*heads)


def _is_dense_detector(model: Any, raw: bool) -> bool:
    from mmdet.models.detectors import SingleStageDetector

    from mmkd.deploy.graph.dense_candidates import is_known

    return isinstance(model, SingleStageDetector) and (raw or is_known(model.bbox_head))


def _check_nms(model: Any) -> None:
    parts = [getattr(model, name, None) for name in ('bbox_head', 'rpn_head', 'roi_head')]
    for part in parts:
        settings = getattr(part, 'test_cfg', None) or {}
        kind = (settings.get('nms') or {}).get('type', 'nms')
        if kind != 'nms':
            raise UnsupportedModelError(
                f'test_cfg.nms: expected the type nms, which ONNX has as NonMaxSuppression, got '
                f'{kind}; export with raw, or set the type'
            )
