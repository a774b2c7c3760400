"""Predictions as ground truth: which are kept, as what, and what becomes of the losses."""

import copy

import pytest
import torch
from helpers import RETINANET, detection_batch, distiller_config, toy_detector
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample
from torch import nn

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.algorithms.pseudo_labels import PseudoLabels
from mmkd.models.building import build_model
from mmkd.teachers import FrozenTeacher

BOXES = torch.tensor(
    [[0.0, 0, 8, 8], [1, 1, 5, 9], [2, 2, 2.5, 9], [3, 3, 9, 9]], dtype=torch.float64
)


class Predicting(BaseModel):
    """Predicts the same boxes on every image, and notes how it was asked."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        """BaseModel wants it."""

    def predict(self, images, samples, rescale=True):
        self.rescale = rescale
        for sample in samples:
            sample.pred_instances = InstanceData(
                bboxes=BOXES,
                scores=torch.tensor([0.9, 0.5, 0.8, 0.49]),
                labels=torch.tensor([2, 1, 2, 2]),
            )
        return samples


class Classifying(BaseModel):
    """Takes each image for the class of its first pixel."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        """BaseModel wants it."""

    def predict(self, images, samples):
        for image, sample in zip(images, samples, strict=True):
            sample.set_pred_label(int(image[0, 0, 0]))
        return samples


@pytest.mark.parametrize(
    ('labels', 'kept', 'expected'),
    [(None, [0, 1], [2, 1]), ({2: 0}, [0], [0]), ({1: 3, 0: 1}, [1], [3]), ({0: 0}, [], [])],
)
def test_confident_boxes_become_ground_truth(labels, kept, expected):
    samples = [DetDataSample(metainfo={'img_shape': (16, 16)}) for _ in range(2)]
    teacher = Predicting()
    PseudoLabels(score=0.5, labels=labels).label(
        FrozenTeacher(teacher), torch.zeros(2, 3, 16, 16), samples
    )
    assert teacher.rescale is False
    for sample in samples:
        assert [*sample.keys()] == ['gt_instances']
        assert sample.img_shape == (16, 16)
        assert sample.gt_instances.labels.tolist() == expected
        torch.testing.assert_close(sample.gt_instances.bboxes, BOXES[kept].float())


def test_classifiers_take_the_most_probable_class():
    images = torch.tensor([3.0, 1.0])[:, None, None, None].expand(2, 3, 4, 4)
    for labels, expected in ((None, [3, 1]), ({3: 5}, [5, 0])):
        samples = [DataSample() for _ in images]
        PseudoLabels(labels=labels).label(FrozenTeacher(Classifying()), images, samples)
        assert [int(sample.gt_label) for sample in samples] == expected


def test_losses_of_both_batches():
    one, two, three = (torch.tensor(float(value)) for value in (1, 2, 3))
    labeled = {'student.loss_cls': [one, two], 'student.acc': three, 'distill.loss_a': one}
    unlabeled = {'student.loss_cls': [two, three], 'student.acc': one, 'distill.loss_a': three}
    joined = PseudoLabels(weight=0.5).join(labeled, unlabeled, share=0.25)
    assert joined == {
        'student.loss_cls': [one, two],
        'student.acc': three,
        'student.unlabeled_loss_cls': [1.0, 1.5],
        'distill.loss_a': 1.5,  # three labeled images of 1, one unlabeled of 3
    }


def test_a_step_equals_the_student_on_the_predicted_boxes():
    """The second route: the teacher's and the student's own calls, without the algorithm."""
    student, teacher = (build_model(copy.deepcopy(RETINANET)) for _ in range(2))
    torch.manual_seed(3)
    teacher.init_weights()
    with torch.no_grad():
        teacher.bbox_head.retina_cls.bias.fill_(-0.5)
    model = FrozenTeacherDistill(
        student, FrozenTeacher(teacher), distiller_config(), pseudo_labels={'score': 0.3}
    ).eval()
    inputs, samples = detection_batch(model.student)
    unlabeled = {
        'inputs': torch.flip(inputs, [3]),
        'data_samples': [DetDataSample(metainfo=sample.metainfo) for sample in samples],
    }
    blank = copy.deepcopy(unlabeled['data_samples'])
    losses = model(inputs, samples, mode='loss', unlabeled=unlabeled)
    with torch.no_grad():
        found = teacher.predict(unlabeled['inputs'], copy.deepcopy(blank), rescale=False)
    for sample, prediction in zip(blank, found, strict=True):
        kept = prediction.pred_instances
        sample.gt_instances = kept[kept.scores >= 0.3]
    assert sum(len(sample.gt_instances) for sample in blank)
    expected = student(unlabeled['inputs'], blank, mode='loss')
    torch.testing.assert_close(losses['student.unlabeled_loss_cls'], expected['loss_cls'])
    torch.testing.assert_close(losses['student.unlabeled_loss_bbox'], expected['loss_bbox'])
    task = student(inputs, samples, mode='loss')
    torch.testing.assert_close(losses['student.loss_cls'], task['loss_cls'])
    both = torch.cat([inputs, unlabeled['inputs']])
    levels = zip(student.extract_feat(both), teacher.extract_feat(both), strict=True)
    mimic = sum((a - b).square().mean() for a, b in levels)
    torch.testing.assert_close(losses['distill.loss_feature'], mimic, rtol=1e-4, atol=1e-5)


def test_both_batches_are_preprocessed_and_prediction_needs_one():
    model = FrozenTeacherDistill(
        toy_detector(0), FrozenTeacher(toy_detector(1)), distiller_config(), pseudo_labels={}
    )
    batch = model.data_preprocessor({'inputs': torch.ones(2, 3, 8, 8)})
    assert model(**batch).shape[0] == 2
    second = {'inputs': torch.zeros(1, 3, 8, 8)}
    both = model.data_preprocessor({'inputs': torch.ones(2, 3, 8, 8), 'unlabeled': second})
    assert both['unlabeled']['inputs'].shape == (1, 3, 8, 8)
    with pytest.raises(ValueError, match=r'unlabeled: expected a second batch.*UnlabeledTrainL'):
        model(torch.ones(2, 3, 8, 8), mode='loss')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'score': 0}, r'pseudo_labels\.score: expected a score in \(0, 1\), got 0'),
        ({'score': 1.0}, r'pseudo_labels\.score'),
        ({'weight': -1}, r'pseudo_labels\.weight: expected a finite number >= 0, got -1'),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        PseudoLabels(**arguments)
