"""FrozenTeacherDistill on detectors of MMDetection and a classifier of MMPretrain."""

import copy

import pytest
import torch
from helpers import CLASSIFIER, FASTER_RCNN, RETINANET, detection_batch, distiller_config
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.models.building import build_model

OWN_PREPROCESSOR = {
    'mean': [103.53, 116.28, 123.675],
    'std': [1.0, 1.0, 1.0],
    'bgr_to_rgb': False,
    'pad_value': 5,
}


@pytest.fixture
def build(tmp_path):
    """Builds the algorithm: the same model as student and, with other weights, as teacher."""

    def make(config, distiller, **teacher):
        torch.manual_seed(1)
        path = str(tmp_path / 'teacher.pth')
        torch.save({'state_dict': build_model(config).state_dict()}, path)
        torch.manual_seed(0)
        teacher = {**copy.deepcopy(config), 'checkpoint': path, **teacher}
        return FrozenTeacherDistill(config, teacher, distiller)

    return make


def levels_loss(students, teachers):
    return sum(F.mse_loss(s, t) for s, t in zip(students, teachers, strict=True))


def count_calls(module):
    calls = []
    module.register_forward_hook(lambda *args: calls.append(args))
    return calls


def test_retinanet_is_distilled_at_its_neck(build):
    algorithm = build(RETINANET, distiller_config())
    inputs, samples = detection_batch(algorithm)
    algorithm.eval()  # BatchNorm, so that a second forward gives the same
    head = count_calls(algorithm.teacher.model.bbox_head)
    losses = algorithm(inputs, samples, mode='loss')
    expected = levels_loss(
        algorithm.student.extract_feat(inputs), algorithm.teacher.model.extract_feat(inputs)
    )
    torch.testing.assert_close(losses['distill.loss_feature'], expected)
    assert losses.keys() == {'student.loss_cls', 'student.loss_bbox', 'distill.loss_feature'}
    assert not head
    total, _ = algorithm.parse_losses(losses)
    total.backward()
    assert algorithm.student.neck.lateral_convs[0].conv.weight.grad.any()


def test_teacher_sees_its_own_normalization_on_padded_images(build):
    algorithm = build(RETINANET, distiller_config(), data_preprocessor=OWN_PREPROCESSOR)
    shapes = [(3, 64, 50), (3, 40, 64), (3, 64, 64)]
    seen = count_calls(algorithm.teacher.model.backbone)
    inputs, samples = detection_batch(algorithm, shapes)
    algorithm(inputs, samples, mode='loss')
    expected, _ = detection_batch(algorithm.teacher.model, shapes)
    (call,) = seen
    torch.testing.assert_close(call[1][0], expected, rtol=1e-5, atol=1e-4)
    assert (expected[1, :, 40:] == 5).all()


def test_same_normalization_hands_on_the_same_tensor(build):
    algorithm = build(RETINANET, distiller_config())
    inputs, samples = detection_batch(algorithm)
    seen = count_calls(algorithm.teacher.model.backbone)
    algorithm(inputs, samples, mode='loss')
    assert seen[0][1][0] is inputs


@pytest.mark.parametrize(
    ('source', 'rpn_calls', 'roi_calls'), [('neck', 0, 0), ('rpn_head.rpn_cls', 5, 1)]
)
def test_two_stage_detector(build, source, rpn_calls, roi_calls):
    algorithm = build(FASTER_RCNN, distiller_config(source))
    inputs, samples = detection_batch(algorithm)
    teacher = algorithm.teacher.model
    rpn, roi = count_calls(teacher.rpn_head.rpn_cls), count_calls(teacher.roi_head.bbox_head)
    losses = algorithm(inputs, samples, mode='loss')
    assert (len(rpn), len(roi)) == (rpn_calls, roi_calls)
    assert losses['distill.loss_feature'] > 0
    total, logged = algorithm.parse_losses(losses)
    assert {'student.loss_rpn_cls', 'student.loss_bbox', 'student.acc'} < logged.keys()
    total.backward()
    assert algorithm.student.neck.lateral_convs[0].conv.weight.grad.any()


def test_whole_two_stage_teacher_runs_as_in_training(build):
    algorithm = build(FASTER_RCNN, distiller_config(), mode='loss')
    inputs, samples = detection_batch(algorithm)
    roi = count_calls(algorithm.teacher.model.roi_head.bbox_head)
    assert algorithm(inputs, samples, mode='loss')['distill.loss_feature'] > 0
    assert len(roi) == 1


def test_classifier_is_distilled_at_its_logits(build):
    algorithm = build(CLASSIFIER, distiller_config('head.fc')).eval()
    raw = [torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8) for _ in range(4)]
    samples = [DataSample().set_gt_label(label) for label in range(4)]
    batch = algorithm.data_preprocessor({'inputs': raw, 'data_samples': samples}, training=True)
    losses = algorithm(**batch, mode='loss')
    assert algorithm.teacher.mode == 'tensor'
    student, teacher = (m(batch['inputs']) for m in (algorithm.student, algorithm.teacher.model))
    torch.testing.assert_close(losses['distill.loss_feature'], F.mse_loss(student, teacher))
    labels = torch.arange(4)
    torch.testing.assert_close(losses['student.loss'], F.cross_entropy(student, labels))


def test_prediction_is_the_students_alone(build):
    algorithm = build(RETINANET, distiller_config()).eval()
    inputs, samples = detection_batch(algorithm)
    calls = count_calls(algorithm.teacher.model.backbone)
    predicted = algorithm(inputs, copy.deepcopy(samples), mode='predict')
    expected = algorithm.student(inputs, copy.deepcopy(samples), mode='predict')
    for one, other in zip(predicted, expected, strict=True):
        assert torch.equal(one.pred_instances.scores, other.pred_instances.scores)
    assert not calls
