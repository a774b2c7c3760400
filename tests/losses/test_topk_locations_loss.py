"""TopKLocationsLoss against plain Python, gradients, levels, errors."""

import pytest
import torch
from torch import nn

from mmkd.losses import CMKDLoss, FKDLoss, LCKALoss, TopKLocationsLoss
from mmkd.registry import MODELS

CLASSES, ANCHORS = 4, 3


def maps(*sizes, seed, images=2, dtype=torch.float64):
    """Class logits of a dense head, one level for each size."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(images, ANCHORS * CLASSES, *size) for size in sizes]
    return tuple(torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)


def chosen(teacher, image, top_k):
    """Row, column and anchor of the teacher's most confident locations, in plain Python."""
    _, channels, height, width = teacher.shape
    places = []
    for row in range(height):
        for column in range(width):
            for anchor in range(channels // CLASSES):
                scores = [teacher[image, anchor * CLASSES + k, row, column] for k in range(CLASSES)]
                places.append((float(max(scores)), row, column, anchor))
    return [place[1:] for place in sorted(places, reverse=True)[:top_k]]


def rows(logits, places):
    """Logits (N, K) of (image, row, column, anchor) places."""
    return torch.stack(
        [logits[i, a * CLASSES : (a + 1) * CLASSES, row, column] for i, row, column, a in places]
    )


def naive(loss, students, teachers, top_k):
    total = 0.0
    for student, teacher in zip(students, teachers, strict=True):
        places = [(i, *place) for i in range(len(teacher)) for place in chosen(teacher, i, top_k)]
        total += loss(rows(student, places), rows(teacher, places))
    return total


KL = {'type': 'mmrazor.KLDivergence', 'tau': 2.0}


@pytest.mark.parametrize(
    'config', [{'type': 'mmkd.CMKDLoss'}, {'type': 'mmkd.LCKALoss'}, KL], ids=lambda c: c['type']
)
@pytest.mark.parametrize('top_k', [1, 5, 10_000])
def test_naive_route(config, top_k):
    students, teachers = (maps((5, 4), (3, 2), seed=seed) for seed in (0, 1))
    loss = TopKLocationsLoss(config, CLASSES, top_k=top_k, loss_weight=0.5)
    expected = 0.5 * naive(MODELS.build(dict(config)), students, teachers, top_k)
    assert expected > 0 or config['type'] == 'mmkd.LCKALoss'  # which needs three rows
    torch.testing.assert_close(loss(students, teachers), expected, rtol=1e-9, atol=1e-9)


class Recording(nn.Module):
    """Keeps its inputs."""

    def forward(self, student, teacher):
        self.student, self.teacher = student, teacher
        return student.sum()


@pytest.mark.parametrize(
    'config', [Recording(), LCKALoss(), CMKDLoss()], ids=lambda c: type(c).__name__
)
def test_a_module_is_taken_as_it_is(config):
    assert TopKLocationsLoss(config, CLASSES).loss is config


def test_rows_are_those_of_one_location_of_both_networks():
    (student,), (teacher,) = (maps((3, 2), seed=seed) for seed in (0, 1))
    teacher[:, CLASSES + 2, 2, 0] = 10.0  # class 2 of the second anchor
    recording = Recording()
    TopKLocationsLoss(recording, CLASSES, top_k=1)(student, teacher)
    assert recording.student.shape == (2, CLASSES)
    assert torch.equal(recording.student, student[:, CLASSES : 2 * CLASSES, 2, 0])
    assert torch.equal(recording.teacher, teacher[:, CLASSES : 2 * CLASSES, 2, 0])


def test_each_image_has_its_own_locations():
    (student,), (teacher,) = (maps((6, 6), seed=seed) for seed in (0, 1))
    teacher[0] += 100.0  # the teacher is surer everywhere in this image
    recording = Recording()
    TopKLocationsLoss(recording, CLASSES, top_k=7)(student, teacher)
    assert (recording.teacher > 50).all(1).tolist() == [True] * 7 + [False] * 7


@pytest.mark.parametrize('config', [CMKDLoss(), KL], ids=['CMKDLoss', 'KLDivergence'])
def test_gradient_is_of_the_student_where_the_teacher_is_sure(config):
    (student,), (teacher,) = (maps((4, 5), seed=seed) for seed in (0, 1))
    student.requires_grad_()
    teacher.requires_grad_()
    TopKLocationsLoss(config, CLASSES, top_k=3)(student, teacher).backward()
    assert teacher.grad is None
    found = {
        (image, row, column, channel // CLASSES)
        for image, channel, row, column in student.grad.nonzero().tolist()
    }
    assert found == {(i, *place) for i in range(2) for place in chosen(teacher.detach(), i, 3)}


def test_gradcheck():
    (student,), (teacher,) = (maps((2, 2), seed=seed) for seed in (0, 1))
    loss = TopKLocationsLoss(KL, CLASSES, top_k=2)
    assert torch.autograd.gradcheck(lambda x: loss(x, teacher), student.requires_grad_())


def test_equal_logits_have_no_distance():
    logits = maps((5, 4), (3, 2), seed=0)
    loss = TopKLocationsLoss(LCKALoss(), CLASSES, top_k=8)
    assert loss(logits, logits) == pytest.approx(0, abs=1e-6)
    assert loss(logits, maps((5, 4), (3, 2), seed=1)) > 1


def test_levels():
    students, teachers = (maps((5, 4), (3, 2), (2, 2), seed=seed) for seed in (0, 1))
    whole = TopKLocationsLoss(KL, CLASSES, top_k=4)
    part = TopKLocationsLoss(KL, CLASSES, top_k=4, levels=(0, 2))
    torch.testing.assert_close(part(students, teachers), whole(students[::2], teachers[::2]))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    students, teachers = (maps((5, 4), seed=seed, dtype=torch.float32) for seed in (0, 1))
    halves = [tuple(x.to(dtype) for x in levels) for levels in (students, teachers)]
    loss = TopKLocationsLoss(LCKALoss(), CLASSES, top_k=6)
    rounded = [tuple(x.float() for x in levels) for levels in halves]
    torch.testing.assert_close(loss(*halves), loss(*rounded))


@pytest.mark.parametrize(
    ('shapes', 'message'),
    [
        (
            [(2, 12, 4, 4), (2, 24, 4, 4)],
            r"teacher: expected the student's shape \(2, 12, 4, 4\), got \(2, 24, 4, 4\)",
        ),
        (
            [(2, 10, 4, 4)] * 2,
            r'teacher: expected a shape \(B, A \* 4, H, W\) of class logits, got \(2, 10, 4, 4\)',
        ),
        ([(8, 4)] * 2, r'teacher: expected a shape \(B, A \* 4, H, W\) .*, got \(8, 4\)'),
    ],
)
def test_wrong_shapes(shapes, message):
    student, teacher = (torch.zeros(shape) for shape in shapes)
    loss = TopKLocationsLoss(KL, CLASSES)
    with pytest.raises(ValueError, match=message):
        loss(student, teacher)
    with pytest.raises(ValueError, match=message.replace('teacher', r'teacher\[0\]', 1)):
        loss((student,), (teacher,))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'num_classes': 0}, 'num_classes: expected a positive integer, got 0'),
        ({'top_k': 0}, 'top_k: expected a positive integer, got 0'),
        ({'top_k': 0.5}, 'top_k: expected a positive integer, got 0.5'),
        ({'levels': ()}, 'levels: expected distinct indices'),
        ({'loss_weight': -1.0}, 'loss_weight: expected a finite number >= 0, got -1.0'),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TopKLocationsLoss(**{'loss': KL, 'num_classes': CLASSES, **arguments})


def test_both_heads_need_the_same_classes_whatever_the_loss():
    assert TopKLocationsLoss(FKDLoss(), CLASSES).needs_equal_shapes


def test_number_of_classes_may_be_set_before_the_first_step():
    students, teachers = (maps((5, 4), (3, 2), seed=seed) for seed in (0, 1))
    loss = TopKLocationsLoss(KL)
    message = 'num_classes: expected the number of classes of the heads, got None; pass it, or'
    with pytest.raises(ValueError, match=message):
        loss(students, teachers)
    loss.num_classes = CLASSES
    assert loss(students, teachers) == TopKLocationsLoss(KL, CLASSES)(students, teachers)
