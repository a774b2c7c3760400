"""nms, soft_nms, nms_match and batched_nms of mmcv.ops on the stand-in."""

import mmkd  # noqa: F401  # isort: skip  (makes mmcv.ops importable)
import math

import numpy as np
import pytest
import torch
from mmcv import ops

METHODS = ('naive', 'linear', 'gaussian')


def random_boxes(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(n, 2, generator=generator) * 60
    sides = 5 + torch.rand(n, 2, generator=generator) * 30
    return torch.cat([corners, corners + sides], dim=1), torch.rand(n, generator=generator)


def iou(a, b, offset: int = 0) -> float:
    w = min(a[2], b[2]) - max(a[0], b[0]) + offset
    h = min(a[3], b[3]) - max(a[1], b[1]) + offset
    inter = max(w, 0) * max(h, 0)
    area_a = (a[2] - a[0] + offset) * (a[3] - a[1] + offset)
    area_b = (b[2] - b[0] + offset) * (b[3] - b[1] + offset)
    return inter / (area_a + area_b - inter)


def plain_nms(boxes, scores, threshold: float, offset: int) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(iou(boxes[i], boxes[j], offset) <= threshold for j in kept):
            kept.append(i)
    return kept


def plain_soft_nms(boxes, scores, threshold, sigma, min_score, method, offset):
    """The paper's pseudo-code on Python lists; returns (index, score) pairs."""
    pool, kept = dict(enumerate(scores)), []
    while pool:
        best = max(pool, key=pool.__getitem__)
        kept.append((best, pool.pop(best)))
        for i in list(pool):
            overlap = iou(boxes[best], boxes[i], offset)
            if method == 'gaussian':
                pool[i] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= threshold:
                pool[i] *= 1 - overlap if method == 'linear' else 0
            if pool[i] < min_score:
                del pool[i]
    return kept


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.1, 0.5, 0.9])
def test_nms_equals_the_definition(threshold, offset):
    boxes, scores = random_boxes(80)
    dets, inds = ops.nms(boxes, scores, threshold, offset=offset)
    assert inds.tolist() == plain_nms(boxes.tolist(), scores.tolist(), threshold, offset)
    assert torch.equal(dets, torch.cat([boxes[inds], scores[inds, None]], dim=1))


def test_nms_offset_counts_inclusive_pixels():
    # Overlap 5 x 10 of 10 x 10 pixels: 1/3. Without the offset 4 x 9 of 9 x 9: 0.286.
    boxes = torch.tensor([[0.0, 0, 9, 9], [5, 0, 14, 9]])
    scores = torch.tensor([0.6, 0.9])
    assert ops.nms(boxes, scores, 0.3, offset=0)[1].tolist() == [1, 0]
    assert ops.nms(boxes, scores, 0.3, offset=1)[1].tolist() == [1]


def test_nms_keeps_a_box_at_exactly_the_threshold():
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 2]])
    assert ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.5)[1].tolist() == [0, 1]


def test_nms_score_threshold_and_max_num_index_the_input():
    boxes = torch.tensor([[0.0, 0, 1, 1], [5, 5, 6, 6], [9, 9, 10, 10], [20, 20, 30, 30]])
    scores = torch.tensor([0.1, 0.7, 0.8, 0.6])
    _, inds = ops.nms(boxes, scores, 0.5, score_threshold=0.3, max_num=2)
    assert inds.tolist() == [2, 1]


def test_nms_of_numpy_arrays_returns_numpy():
    boxes, scores = (t.numpy() for t in random_boxes(20))
    dets, inds = ops.nms(boxes, scores, 0.5)
    assert isinstance(dets, np.ndarray)
    assert inds.tolist() == plain_nms(boxes.tolist(), scores.tolist(), 0.5, 0)


def test_nms_of_nothing():
    dets, inds = ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert dets.shape == (0, 5)
    assert inds.shape == (0,)
    assert inds.dtype == torch.long


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_nms_computes_low_precision_boxes_in_float32(dtype):
    boxes, scores = (t.to(dtype) for t in random_boxes(40))
    scores = torch.linspace(1, 0.1, 40).to(dtype)
    dets, inds = ops.nms(boxes, scores, 0.5, offset=1)
    assert dets.dtype == dtype
    assert inds.tolist() == plain_nms(boxes.tolist(), scores.tolist(), 0.5, 1)


def test_nms_of_boxes_and_scores_of_different_dtypes():
    boxes, scores = random_boxes(40)
    inds = ops.nms(boxes, scores.double(), 0.5)[1]
    assert inds.tolist() == plain_nms(boxes.tolist(), scores.tolist(), 0.5, 0)


def test_batched_nms_suppresses_within_a_class_only():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [0, 0, 10, 10]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    classes = torch.tensor([0, 0, 1])
    cfg = {'type': 'nms', 'iou_threshold': 0.5}
    dets, keep = ops.batched_nms(boxes, scores, classes, cfg)
    assert keep.tolist() == [0, 2]
    assert torch.equal(dets[:, :4], boxes[keep])
    assert ops.batched_nms(boxes, scores, classes, cfg, class_agnostic=True)[1].tolist() == [0]


@pytest.mark.parametrize('split_thr', [10000, 10])
def test_batched_nms_equals_nms_class_by_class(split_thr):
    boxes, scores = random_boxes(90)
    classes = torch.arange(90) % 4
    cfg = {'type': 'nms', 'iou_threshold': 0.3, 'split_thr': split_thr, 'max_num': 30}
    dets, keep = ops.batched_nms(boxes, scores, classes, cfg)
    expected = []
    for c in range(4):
        ids = (classes == c).nonzero().flatten()
        kept = plain_nms(boxes[ids].tolist(), scores[ids].tolist(), 0.3, 0)
        expected += ids[kept].tolist()
    expected.sort(key=lambda i: -scores[i])
    assert len(expected) > 30
    assert keep.tolist() == expected[:30]
    assert torch.equal(dets[:, 4], scores[keep])


def test_batched_nms_passes_offset_and_score_threshold():
    boxes = torch.tensor([[0.0, 0, 9, 9], [5, 0, 14, 9], [50, 50, 60, 60]])
    scores = torch.tensor([0.6, 0.9, 0.05])
    classes = torch.zeros(3, dtype=torch.long)
    cfg = {'type': 'nms', 'iou_threshold': 0.3, 'offset': 1, 'score_threshold': 0.1}
    assert ops.batched_nms(boxes, scores, classes, cfg)[1].tolist() == [1]


def test_batched_nms_with_soft_nms():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 10, 10]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    cfg = {'type': 'soft_nms', 'iou_threshold': 0.5, 'min_score': 0.01}
    dets, keep = ops.batched_nms(boxes, scores, torch.tensor([0, 0, 1]), cfg)
    assert keep.tolist() == [0, 2, 1]
    torch.testing.assert_close(dets[:, 4], torch.tensor([0.9, 0.7, 0.8 * 0.4]))


def test_soft_nms_hand_computed():
    # IoU with the best box: 0.6 and 0.
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 6], [30, 30, 40, 40]])
    scores = torch.tensor([0.9, 0.8, 0.5])
    expected = {
        'naive': ([0, 2], [0.9, 0.5]),
        'linear': ([0, 2, 1], [0.9, 0.5, 0.8 * 0.4]),
        'gaussian': ([0, 2, 1], [0.9, 0.5, 0.8 * math.exp(-0.36 / 0.5)]),
    }
    for method, (inds, decayed) in expected.items():
        dets, kept = ops.soft_nms(boxes, scores, iou_threshold=0.6, sigma=0.5, method=method)
        assert kept.tolist() == inds
        assert torch.equal(dets[:, :4], boxes[kept])
        torch.testing.assert_close(dets[:, 4], torch.tensor(decayed))


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('offset', [0, 1])
def test_soft_nms_equals_the_definition(method, offset):
    boxes, scores = (t.double() for t in random_boxes(60, seed=1))
    settings = {'iou_threshold': 0.3, 'sigma': 0.4, 'min_score': 0.2}
    dets, inds = ops.soft_nms(boxes, scores, method=method, offset=offset, **settings)
    expected = plain_soft_nms(
        boxes.tolist(), scores.tolist(), *settings.values(), method=method, offset=offset
    )
    assert 0 < len(expected) < 60
    assert inds.tolist() == [i for i, _ in expected]
    assert torch.equal(dets[:, :4], boxes[inds])
    torch.testing.assert_close(dets[:, 4].tolist(), [s for _, s in expected])


def test_soft_nms_keeps_the_best_box_even_below_min_score():
    boxes = torch.tensor([[0.0, 0, 1, 1], [5, 5, 6, 6]])
    _, inds = ops.soft_nms(boxes, torch.tensor([0.1, 0.2]), min_score=0.5)
    assert inds.tolist() == [1]


def test_soft_nms_drops_scores_strictly_below_min_score():
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 4]])
    dets, inds = ops.soft_nms(boxes, torch.tensor([0.9, 0.8]), min_score=0.0, method='naive')
    assert inds.tolist() == [0, 1]
    assert dets[1, 4] == 0


@pytest.mark.parametrize('method', METHODS)
def test_soft_nms_of_boxes_without_area(method):
    boxes = torch.tensor([[3.0, 1, 3, 1]] * 3)
    scores = torch.tensor([0.9, 0.5, 0.4])
    dets, inds = ops.soft_nms(boxes, scores, method=method)
    assert inds.tolist() == [0, 1, 2]
    assert torch.equal(dets[:, 4], scores)


def test_soft_nms_of_nothing():
    dets, inds = ops.soft_nms(torch.zeros(0, 4), torch.zeros(0))
    assert dets.shape == (0, 5)
    assert inds.shape == (0,)


def test_soft_nms_leaves_its_inputs_alone():
    boxes, scores = random_boxes(20)
    copies = boxes.clone(), scores.clone()
    ops.soft_nms(boxes, scores)
    assert torch.equal(boxes, copies[0])
    assert torch.equal(scores, copies[1])


def test_nms_match_groups_by_the_box_that_suppresses():
    boxes = torch.tensor(
        [[0.0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 10, 9], [0, 0, 10, 5], [20, 20, 30, 29]]
    )
    scores = torch.tensor([0.8, 0.9, 0.5, 0.7, 0.95])
    groups = ops.nms_match(torch.cat([boxes, scores[:, None]], dim=1), 0.5)
    # Box 3 overlaps box 0 by exactly 0.5, which nms_match, unlike nms, counts as a match.
    assert [g.tolist() for g in groups] == [[4, 1], [0, 3, 2]]


def test_nms_match_of_numpy_partitions_the_boxes():
    boxes, scores = random_boxes(50)
    groups = ops.nms_match(torch.cat([boxes, scores[:, None]], dim=1).numpy(), 0.4)
    assert sorted(np.concatenate(groups).tolist()) == list(range(50))
    assert [int(g[0]) for g in groups] == plain_nms(boxes.tolist(), scores.tolist(), 0.4, 0)
