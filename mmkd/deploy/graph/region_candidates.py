"""What the second stage of Faster and Mask R-CNN predicts, as tensors of a fixed size."""

from typing import Any

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.roi_heads import BBoxHead, StandardRoIHead
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor
from torchvision.ops import roi_align

from mmkd.deploy.graph.batched_nms import keep_best
from mmkd.deploy.graph.dense_candidates import Candidates, candidates, clip, decode, is_known


def is_known_pair(rpn: Any, roi_head: Any) -> bool:
    """Whether both stages predict by code that this module follows."""
    return (
        isinstance(rpn, RPNHead)
        and is_known(rpn)
        and isinstance(roi_head, StandardRoIHead)
        and type(roi_head).predict_bbox is StandardRoIHead.predict_bbox
        and type(roi_head.bbox_head)._predict_by_feat_single is BBoxHead._predict_by_feat_single
        and type(roi_head.bbox_roi_extractor) is SingleRoIExtractor
        and not roi_head.bbox_head.custom_cls_channels
        and not roi_head.with_shared_head
    )


def region_candidates(
    rpn: Any, roi_head: Any, features: tuple[Tensor, ...], size: tuple[int, int]
) -> Candidates:
    """Return boxes (B, N, 4), scores (B, N) and labels (B, N) before suppression.

    Args:
        rpn: Makes the proposals.
        roi_head: Classifies them.
        features: The pyramid.
        size: Height and width of the images.
    """
    proposals, scores, _ = keep_best(
        *candidates(rpn, rpn(features), size),
        iou_threshold=rpn.test_cfg.nms.iou_threshold,
        limit=rpn.test_cfg.max_per_img,
    )
    batch, number = scores.shape
    images = torch.arange(batch, device=scores.device, dtype=scores.dtype)
    images = images[:, None, None].expand(-1, number, 1)
    rois = torch.cat([images, proposals], -1).flatten(0, 1)
    head = roi_head.bbox_head
    logits, deltas = head(pooled(roi_head.bbox_roi_extractor, features, rois))[:2]
    classes = head.num_classes
    logits = logits.reshape(batch, number, -1)
    probabilities = logits.softmax(-1)[..., :-1]
    # Empty rows of proposals predict nothing.
    valid = (scores > 0)[..., None] & (probabilities > roi_head.test_cfg.score_thr)
    probabilities = torch.where(valid, probabilities, -1.0)
    deltas = deltas.reshape(batch, number, -1, 4)
    boxes = proposals[:, :, None].expand(-1, -1, deltas.shape[2], -1)
    boxes = decode(head.bbox_coder, boxes, deltas)
    if getattr(head.bbox_coder, 'clip_border', True):
        boxes = clip(boxes, size)
    boxes = boxes.expand(-1, -1, classes, -1)  # one box for all classes, or one each
    labels = torch.arange(classes, device=scores.device).expand(batch, number, -1)
    return boxes.flatten(1, 2), probabilities.flatten(1), labels.flatten(1)


def pooled(extractor: Any, features: tuple[Tensor, ...], rois: Tensor) -> Tensor:
    """Pool each region from the level of its size; all levels are pooled, and one is kept.

    Args:
        extractor: A ``SingleRoIExtractor``.
        features: Its levels.
        rois: (R, 5): image, x1, y1, x2, y2.

    Returns:
        (R, C, h, w).
    """
    layers = extractor.roi_layers
    levels = extractor.map_roi_levels(rois, len(layers))
    result: Any = None
    for index, (layer, level) in enumerate(zip(layers, features, strict=False)):
        crops = roi_align(
            level, rois, layer.output_size, layer.spatial_scale, layer.sampling_ratio, layer.aligned
        )
        own = (levels == index)[:, None, None, None]
        result = crops if result is None else torch.where(own, crops, result)
    return result
