"""Two-stage detectors that judge the same proposals."""

import copy

import pytest
import torch
from helpers import FASTER_RCNN, RETINANET, detection_batch

from mmkd.registry import MODELS

CASCADE = {
    'cfg_path': 'mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
    'backbone': {'depth': 18, 'base_channels': 8, 'init_cfg': None},
    'neck': {'in_channels': [8, 16, 32, 64], 'out_channels': 16},
    'rpn_head': {'in_channels': 16, 'feat_channels': 16},
    'roi_head': {
        'bbox_roi_extractor': {'out_channels': 16},
        'bbox_head': [
            {
                'type': 'Shared2FCBBoxHead',
                'in_channels': 16,
                'fc_out_channels': 16,
                'roi_feat_size': 7,
                'num_classes': 3,
                'bbox_coder': {
                    'type': 'DeltaXYWHBBoxCoder',
                    'target_means': [0.0, 0.0, 0.0, 0.0],
                    'target_stds': [0.1, 0.1, 0.2, 0.2],
                },
                'reg_class_agnostic': True,
                'loss_cls': {'type': 'CrossEntropyLoss', 'loss_weight': 1.0},
                'loss_bbox': {'type': 'SmoothL1Loss', 'beta': 1.0, 'loss_weight': 1.0},
            }
        ]
        * 3,
    },
    'train_cfg': {'rpn_proposal': {'max_per_img': 20}},
    'test_cfg': {'rpn': {'max_per_img': 20}},
}


def logits_distiller(student='roi_head.bbox_head.fc_cls', teacher='roi_head.bbox_head.fc_cls'):
    return {
        'type': 'ConfigurableDistiller',
        'student_recorders': {'logits': {'type': 'ModuleOutputs', 'source': student}},
        'teacher_recorders': {'logits': {'type': 'ModuleOutputs', 'source': teacher}},
        'distill_losses': {'loss_kd': {'type': 'KLDivergence', 'tau': 1.0}},
        'loss_forward_mappings': {
            'loss_kd': {
                'preds_S': {'from_student': True, 'recorder': 'logits'},
                'preds_T': {'from_student': False, 'recorder': 'logits'},
            }
        },
    }


def algorithm(student=FASTER_RCNN, teacher=FASTER_RCNN, distiller=None):
    torch.manual_seed(0)
    model = MODELS.build(
        {
            'type': 'mmkd.SharedProposalDistill',
            'architecture': copy.deepcopy(student),
            'teacher': copy.deepcopy(teacher),
            'distiller': distiller or logits_distiller(),
        }
    )
    # Heads as they are initialized say the same of all boxes.
    for network in (model.architecture, model.teacher.model):
        for name, parameter in network.roi_head.named_parameters():
            if name.endswith('fc_cls.weight'):
                torch.nn.init.normal_(parameter)
    model.teacher.load_state_dict(model.teacher.state_dict(), 'the test')  # as if loaded
    return model.train()


def recorded(model):
    """The student's and the teacher's record of one step, and the step's proposals."""
    records, distiller = {}, model.distiller
    compute = distiller.compute_distill_losses

    def keep():
        for who, manager in (
            ('student', distiller.student_recorders),
            ('teacher', distiller.teacher_recorders),
        ):
            records[who] = manager.get_recorder('logits').get_record_data()
        return compute()

    distiller.compute_distill_losses = keep
    extractor = model.architecture.roi_head.bbox_roi_extractor
    first = extractor[0] if isinstance(extractor, torch.nn.ModuleList) else extractor

    def see(_, inputs):
        records.setdefault('proposals', inputs[1])

    handle = first.register_forward_pre_hook(see)
    inputs, samples = detection_batch(model)
    losses = model.loss(inputs, samples)
    handle.remove()
    distiller.compute_distill_losses = compute
    return inputs, records, losses


def test_teacher_judges_the_students_proposals():
    model = algorithm()
    inputs, records, losses = recorded(model)
    teacher = model.teacher.model
    with torch.no_grad():
        features = teacher.extract_feat(inputs)
        pooled = teacher.roi_head.bbox_roi_extractor(features[:4], records['proposals'])
        expected, _ = teacher.roi_head.bbox_head(pooled)
    assert len(expected) == len(records['student']) > 2
    torch.testing.assert_close(records['teacher'], expected)
    log_p, q = records['student'].log_softmax(1), expected.softmax(1)
    divergence = (q * (q.log() - log_p)).sum(1).mean()
    torch.testing.assert_close(losses['distill.loss_kd'], divergence)
    losses['distill.loss_kd'].backward()
    assert model.architecture.roi_head.bbox_head.fc_cls.weight.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_equal_networks_have_no_loss():
    model = algorithm()
    model.teacher.model.load_state_dict(model.architecture.state_dict())
    model.teacher.load_state_dict(model.teacher.state_dict(), 'the test')  # as if loaded
    model.architecture.eval()  # batch statistics would set the two apart
    assert recorded(model)[2]['distill.loss_kd'].abs() < 1e-6


def test_stages_of_a_cascade_judge_the_same_boxes():
    distiller = logits_distiller(teacher='roi_head.bbox_head.2.fc_cls')
    model = algorithm(teacher=CASCADE, distiller=distiller)
    inputs, records, _ = recorded(model)
    roi_head = model.teacher.model.roi_head
    with torch.no_grad():
        features = model.teacher.model.extract_feat(inputs)
        pooled = roi_head.bbox_roi_extractor[2](features[:4], records['proposals'])
        expected, _ = roi_head.bbox_head[2](pooled)
    torch.testing.assert_close(records['teacher'], expected)


def test_cascaded_student_is_compared_in_its_first_stage():
    distiller = logits_distiller('roi_head.bbox_head.0.fc_cls', 'roi_head.bbox_head.0.fc_cls')
    model = algorithm(CASCADE, CASCADE, distiller)
    model.teacher.model.load_state_dict(model.architecture.state_dict())
    model.teacher.load_state_dict(model.teacher.state_dict(), 'the test')  # as if loaded
    model.architecture.eval()
    _, records, losses = recorded(model)
    torch.testing.assert_close(records['teacher'], records['student'])
    assert losses['distill.loss_kd'].abs() < 1e-6


def test_other_classes_stop_before_the_first_step():
    teacher = copy.deepcopy(FASTER_RCNN)
    teacher['roi_head']['bbox_head']['num_classes'] = 80
    with pytest.raises(
        ValueError, match=r'loss_kd: .* got \(4,\) of .* and \(81,\) of the teacher'
    ):
        algorithm(teacher=teacher)


@pytest.mark.parametrize('who', ['architecture', 'teacher'])
def test_both_need_a_roi_head(who):
    networks = {'student': FASTER_RCNN, 'teacher': FASTER_RCNN}
    sources = dict.fromkeys(networks, 'roi_head.bbox_head.fc_cls')
    one_stage = 'student' if who == 'architecture' else who
    networks[one_stage], sources[one_stage] = RETINANET, 'neck'
    distiller = logits_distiller(**sources)
    with pytest.raises(ValueError, match=rf'{who}: expected a two-stage .* got RetinaNet'):
        algorithm(**networks, distiller=distiller)


def test_there_is_one_teacher():
    distiller = logits_distiller(teacher='first.roi_head.bbox_head.fc_cls')
    with pytest.raises(ValueError, match='teacher: expected one, got several'):
        algorithm(teacher={'members': {'first': FASTER_RCNN}}, distiller=distiller)


def test_deliveries_would_need_the_teacher_first():
    distiller = logits_distiller()
    distiller['distill_deliveries'] = {
        'aug': {
            'type': 'MethodOutputs',
            'max_keep_data': 1,
            'method_path': 'mmdet.models.RetinaNet.extract_feat',
        }
    }
    with pytest.raises(ValueError, match='distill_deliveries: expected none'):
        algorithm(distiller=distiller)
