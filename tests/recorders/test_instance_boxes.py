"""Boxes of a batch, and boxes near them."""

import math

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData

from mmkd.recorders.instance_boxes import ground_truth_boxes, jittered

FIRST = [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.5, 8.5]]
LAST = [[0.0, 0.0, 9.0, 9.0]]


def sample_of(boxes):
    return DetDataSample(gt_instances=InstanceData(bboxes=boxes))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_boxes(count, sizes):
    """Boxes inside images of these sizes, many of them at the border."""
    draw = torch.rand(count, 4, generator=generator(), dtype=torch.float64) * 1.4 - 0.2
    (left, top), (right, bottom) = draw.clamp(0, 1).view(-1, 2, 2).sort(1).values.permute(1, 2, 0)
    index = torch.arange(count) % len(sizes)
    height, width = torch.tensor(sizes, dtype=torch.float64)[index].T
    boxes = torch.stack([index, left * width, top * height, right * width, bottom * height], 1)
    return boxes[(boxes[:, 3] > boxes[:, 1]) & (boxes[:, 4] > boxes[:, 2])]


@pytest.mark.parametrize('kind', [torch.tensor, lambda rows: HorizontalBoxes(torch.tensor(rows))])
def test_boxes_of_all_images(kind):
    empty = sample_of(torch.zeros(0, 4))
    boxes = ground_truth_boxes([sample_of(kind(FIRST)), empty, sample_of(kind(LAST))])
    assert boxes.tolist() == [[0.0, *FIRST[0]], [0.0, *FIRST[1]], [2.0, *LAST[0]]]
    assert ground_truth_boxes([empty, empty]).shape == (0, 5)


def test_naive_route():
    sizes, amount = [(30, 50), (60, 40)], 0.3
    boxes = random_boxes(50, sizes)
    noise = torch.rand(len(boxes), 4, generator=generator(7))
    expected = []
    for (index, left, top, right, bottom), draw in zip(boxes, noise, strict=True):
        dx, dy, dw, dh = (2 * draw.double() - 1) * amount
        height, width = sizes[int(index)]
        x, y = (left + right) / 2 + dx * (right - left), (top + bottom) / 2 + dy * (bottom - top)
        w, h = (right - left) * math.exp(dw), (bottom - top) * math.exp(dh)
        corners = [max(x - w / 2, 0), max(y - h / 2, 0), min(x + w / 2, width)]
        expected.append([index, *corners, min(y + h / 2, height)])
    moved = jittered(boxes, amount, sizes, generator(7))
    torch.testing.assert_close(moved, torch.tensor(expected, dtype=torch.float64))


def test_boxes_stay_boxes_inside_their_images():
    sizes = [(30, 50), (60, 40), (8, 8)]
    boxes = random_boxes(2000, sizes)
    moved = jittered(boxes, 0.499, sizes, generator())
    limits = torch.tensor(sizes, dtype=torch.float64).flip(1)[moved[:, 0].long()]
    assert torch.equal(moved[:, 0], boxes[:, 0])
    assert (moved[:, 1:3] >= 0).all()
    assert (moved[:, 3:] <= limits).all()
    assert (moved[:, 3:] > moved[:, 1:3]).all()


def test_shifts_and_scales_reach_the_amount_both_ways():
    boxes = torch.tensor([[0.0, 100.0, 200.0, 140.0, 220.0]]).expand(4000, 5)
    moved = jittered(boxes, 0.2, [(1000, 1000)], generator())
    center = (moved[:, 1:3] + moved[:, 3:]) / 2
    shift = (center - torch.tensor([120.0, 210.0])) / torch.tensor([40.0, 20.0])
    scale = ((moved[:, 3:] - moved[:, 1:3]) / torch.tensor([40.0, 20.0])).log()
    drawn = torch.cat([shift, scale], 1)
    assert (drawn.abs() < 0.2 + 1e-4).all()
    assert (drawn.amax(0) > 0.19).all()
    assert (drawn.amin(0) < -0.19).all()
    assert torch.corrcoef(drawn.T).fill_diagonal_(0).abs().max() < 0.1  # four draws a box


def test_what_is_drawn_is_the_generators():
    boxes = random_boxes(20, [(30, 50)])
    one, again, other = (jittered(boxes, 0.1, [(30, 50)], generator(s)) for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    torch.testing.assert_close(jittered(boxes, 0.0, [(30, 50)], generator()), boxes)


def test_a_box_that_leaves_its_image_is_cut():
    moved = jittered(torch.tensor([[0.0, -4.0, 2.0, 60.0, 40.0]]), 0.0, [(30, 50)], generator())
    torch.testing.assert_close(moved, torch.tensor([[0.0, 0.0, 2.0, 50.0, 30.0]]))


def test_no_boxes():
    assert jittered(torch.zeros(0, 5), 0.1, [(8, 8)], generator()).shape == (0, 5)
