"""MatchedQueriesLoss against every matching there is, its freedoms, a step of DINO, errors."""

from itertools import permutations

import pytest
import torch
from helpers import detection_batch

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.losses import MatchedQueriesLoss

CLASSES = 3
# DINO's head inherits its method.
HEAD = 'mmdet.models.dense_heads.deformable_detr_head.DeformableDETRHead'


def outputs(seed, layers=1, images=1, queries=4, classes=CLASSES):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(layers, images, queries, classes, generator=generator)
    center, size = (
        low + 0.4 * torch.rand(layers, images, queries, 2, generator=generator)
        for low in (0.3, 0.1)
    )
    return logits, torch.cat([center, size], -1)


def giou(a, b):
    """Of two boxes as center and size, number by number."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    left, right = max(ax - aw / 2, bx - bw / 2), min(ax + aw / 2, bx + bw / 2)
    top, bottom = max(ay - ah / 2, by - bh / 2), min(ay + ah / 2, by + bh / 2)
    inter = max(right - left, 0) * max(bottom - top, 0)
    union = aw * ah + bw * bh - inter
    hull_w = max(ax + aw / 2, bx + bw / 2) - min(ax - aw / 2, bx - bw / 2)
    hull_h = max(ay + ah / 2, by + bh / 2) - min(ay - ah / 2, by - bh / 2)
    return inter / union - (hull_w * hull_h - union) / (hull_w * hull_h)


def cost(logits, box, label, target):
    """DINO's matching cost: focal loss 2, L1 5, GIoU 2."""
    p = float(logits[label].sigmoid())
    positive = -0.25 * (1 - p) ** 2 * torch.tensor(p + 1e-12).log()
    negative = -0.75 * p**2 * torch.tensor(1 - p + 1e-12).log()
    distance = sum(abs(x - y) for x, y in zip(box, target, strict=True))
    return float(2 * (positive - negative)) + 5 * distance - 2 * giou(box, target)


def by_brute_force(student, teacher, min_score):
    """The best of all matchings of one image and layer, and its loss, number by number."""
    (logits, boxes), (targets, target_boxes) = (
        [part[-1, 0] for part in side] for side in (student, teacher)
    )
    kept = [i for i, row in enumerate(targets) if float(row.sigmoid().max()) >= min_score]
    best = min(
        permutations(range(len(logits)), len(kept)),
        key=lambda queries: sum(
            cost(logits[q], boxes[q].tolist(), int(targets[t].argmax()), target_boxes[t].tolist())
            for q, t in zip(queries, kept, strict=True)
        ),
    )
    classes = box = scores = 0.0
    for query, target in zip(best, kept, strict=True):
        score = float(targets[target].sigmoid().max())
        scores += score
        for s, t in zip(logits[query].sigmoid(), targets[target].sigmoid(), strict=True):
            classes += float((t - s).abs() ** 2 * -(t * s.log() + (1 - t) * (1 - s).log()))
        pair = boxes[query].tolist(), target_boxes[target].tolist()
        distance = sum(abs(x - y) for x, y in zip(*pair, strict=True))
        box += score * (5 * distance + 2 * (1 - giou(*pair)))
    return (classes + box) / max(scores, 1.0)


@pytest.mark.parametrize('seed', range(6))
def test_equals_brute_force(seed):
    student, teacher = outputs(seed), outputs(seed + 10, queries=3)
    expected = by_brute_force(student, teacher, min_score=0.5)
    value = MatchedQueriesLoss(min_score=0.5, loss_weight=0.5)(student, teacher)
    assert float(value) == pytest.approx(0.5 * expected, rel=1e-4)


def test_order_of_queries_says_nothing():
    student, teacher = outputs(0, images=2, queries=9), outputs(1, images=2, queries=6)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    shuffled = [part[:, :, order] for part in student]
    loss = MatchedQueriesLoss()
    torch.testing.assert_close(loss(shuffled, teacher), loss(student, teacher))


def test_a_student_that_predicts_as_its_teacher_has_no_loss():
    teacher = outputs(0, images=2, queries=5)
    order = torch.tensor([3, 1, 4, 0, 2])
    student = [part[:, :, order] for part in teacher]
    assert MatchedQueriesLoss()(student, teacher) < 1e-5


def test_mean_over_the_students_layers_against_the_teachers_last():
    student, teacher = outputs(0, layers=2), outputs(1, layers=3)
    layers = [[part[k : k + 1] for part in student] for k in range(2)]
    last = [part[-1:] for part in teacher]
    loss = MatchedQueriesLoss()
    expected = sum(loss(layer, last) for layer in layers) / 2
    torch.testing.assert_close(loss(student, teacher), expected)


def test_queries_for_denoising_do_not_count():
    student, denoising, teacher = outputs(0), outputs(5), outputs(1)
    both = [torch.cat([first, own], 2) for first, own in zip(denoising, student, strict=True)]
    expected = MatchedQueriesLoss()(student, teacher)
    torch.testing.assert_close(MatchedQueriesLoss(num_queries=4)(both, teacher), expected)


def test_no_confident_prediction():
    logits, boxes = (part.requires_grad_() for part in outputs(0))
    value = MatchedQueriesLoss()((logits, boxes), (torch.full_like(logits, -20.0), boxes))
    value.backward()
    assert value == 0
    assert not logits.grad.any()


def test_gradient_reaches_matched_queries_of_the_student_only():
    student, teacher = (
        [part.requires_grad_() for part in side] for side in (outputs(0), outputs(1, queries=2))
    )
    MatchedQueriesLoss(min_score=0.0)(student, teacher).backward()
    for part in student:
        assert int((part.grad.abs().sum(-1) > 0).sum()) == 2
    assert all(part.grad is None for part in teacher)


def dino(queries, channels):
    return dict(
        cfg_path='mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
        backbone=dict(depth=18, base_channels=channels, init_cfg=None),
        neck=dict(in_channels=[channels << level for level in (1, 2, 3)]),
        num_queries=queries,
        encoder=dict(num_layers=1),
        decoder=dict(num_layers=2),
        bbox_head=dict(num_classes=CLASSES),
        dn_cfg=dict(group_cfg=dict(num_dn_queries=10)),
    )


def test_a_step_of_dino():
    heads = dict(type='MethodOutputs', source=f'{HEAD}.forward')
    loss = dict(type='mmkd.MatchedQueriesLoss', on=heads, min_score=0.0)
    model = FrozenTeacherDistill(
        dino(12, 8), dict(**dino(9, 16), mode='tensor'), dict(losses=dict(queries=loss))
    )
    torch.nn.init.normal_(model.architecture.level_embed)  # else it is not initialized
    assert model.distiller.distill_losses['loss_queries'].num_queries == 12
    losses = model.loss(*detection_batch(model))
    losses['distill.loss_queries'].backward()
    assert losses['distill.loss_queries'] > 0
    assert model.architecture.backbone.layer4[0].conv1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'num_queries': 0}, 'num_queries: expected'),
        ({'top_k': 0}, 'top_k: expected'),
        ({'min_score': 1.0}, r'min_score: expected a score in \[0, 1\), got 1.0'),
        ({'loss_weight': -1}, 'loss_weight: expected'),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        MatchedQueriesLoss(**arguments)


def test_inputs_that_do_not_fit():
    loss, good = MatchedQueriesLoss(min_score=0.0), outputs(0)
    with pytest.raises(ValueError, match=r'student: expected class logits .* record the forward'):
        loss(torch.zeros(1, 2), good)
    with pytest.raises(ValueError, match=r'teacher: expected .* got \[\(1, 1, 4, 3\)\]'):
        loss(good, good[:1])
    with pytest.raises(ValueError, match="teacher: expected the student's 3 classes, got 5"):
        loss(good, outputs(0, classes=5))
    with pytest.raises(ValueError, match=r'top_k: expected at most .* queries, 4, got 7; lower'):
        loss(good, outputs(0, queries=7))
