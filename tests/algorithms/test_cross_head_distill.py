"""The teacher's head on the student's features: layer by layer, other classes, steps, errors."""

import copy

import pytest
import torch
from helpers import detection_batch

from mmkd.algorithms import CrossHeadDistill
from mmkd.recorders import CrossOutputsRecorder

ENTRIES = ('bbox_head.cls_convs.0', 'bbox_head.reg_convs.0')
LOSSES = {
    'cls': dict(type='mmkd.SoftFocalLoss', on='bbox_head.gfl_cls'),
    'box': dict(
        type='mmkd.LDLoss',
        on='bbox_head.scales',
        min_score=0.0,
        inputs=dict(
            scores=dict(type='mmkd.LevelOutputs', source='bbox_head.gfl_cls', from_student=False)
        ),
    ),
}


def crossed(losses=LOSSES):
    """The same losses, between the teacher's head on the student's features and its own."""

    def on(source):
        return dict(
            student=dict(type='mmkd.CrossOutputs', source=source),
            teacher=dict(type='mmkd.LevelOutputs', source=source),
        )

    return dict(losses={name: {**loss, 'on': on(loss['on'])} for name, loss in losses.items()})


@pytest.fixture
def gfl(repo):
    def config(width=8, classes=3, **head):
        return dict(
            cfg_path=str(repo / 'configs/digits/gfl_r18w16_fpn_digits.py'),
            backbone=dict(base_channels=width),
            neck=dict(in_channels=[width << level for level in (1, 2, 3)]),
            bbox_head=dict(num_classes=classes, stacked_convs=2, **head),
        )

    return config


@pytest.fixture
def model(gfl):
    torch.manual_seed(0)
    return CrossHeadDistill(gfl(), gfl(16, classes=5), crossed(), entries=ENTRIES)


def by_hand(model, inputs):
    """Class logits and box distributions of each level, layer by layer."""
    student, head = model.architecture, model.teacher.model.bbox_head
    classes, boxes = [], []
    for level, scale in zip(student.extract_feat(inputs), head.scales, strict=True):
        own = student.bbox_head
        classes.append(head.gfl_cls(head.cls_convs[1](own.cls_convs[0](level))))
        boxes.append(scale(head.gfl_reg(head.reg_convs[1](own.reg_convs[0](level)))))
    return classes, boxes


def test_equals_the_heads_layers_by_hand(model, monkeypatch):
    model.eval()  # batch normalization of the second pass shall see the same numbers
    inputs, samples = detection_batch(model)
    seen = {}
    reset = CrossOutputsRecorder.reset_data_buffer

    def keep(recorder):
        if recorder.data_buffer:
            seen[recorder.source] = recorder.get_record_data()
        reset(recorder)

    monkeypatch.setattr(CrossOutputsRecorder, 'reset_data_buffer', keep)
    losses = model.loss(inputs, samples)
    classes, boxes = by_hand(model, inputs)
    torch.testing.assert_close(seen['bbox_head.gfl_cls'], tuple(classes))
    torch.testing.assert_close(seen['bbox_head.scales'], tuple(boxes))
    assert classes[0].shape[1] == 5  # the teacher's classes; the student has 3
    assert all(losses[f'distill.loss_{name}'] > 0 for name in ('cls', 'box'))


def test_student_learns_before_the_entries_and_the_teacher_stays(model):
    inputs, samples = detection_batch(model)
    before = copy.deepcopy(model.teacher.state_dict())
    losses = model.loss(inputs, samples)
    (losses['distill.loss_cls'] + losses['distill.loss_box']).backward()
    head = model.architecture.bbox_head
    for trained in (model.architecture.backbone.conv1, head.cls_convs[0].conv):
        assert trained.weight.grad.abs().sum() > 0
    for untouched in (head.cls_convs[1].conv.weight, head.gfl_cls.weight, head.gfl_reg.weight):
        assert untouched.grad is None
    assert all(torch.equal(before[k], v) for k, v in model.teacher.state_dict().items())
    assert not any(p.grad is not None for p in model.teacher.model.parameters())


def test_nothing_is_left_of_a_step_even_after_an_error(model, monkeypatch):
    inputs, samples = detection_batch(model)
    module = model.teacher.model.get_submodule(ENTRIES[0])
    hooks = len(module._forward_hooks)
    monkeypatch.setattr(model.teacher.model.bbox_head.gfl_cls, 'forward', _broken)
    with pytest.raises(RuntimeError, match='broken'):
        model.loss(inputs, samples)
    assert len(module._forward_hooks) == hooks
    assert not any(recorder.data_buffer for recorder in model._cross)
    assert not model._pyramid.data_buffer


def _broken(*_):
    raise RuntimeError('broken')


def test_bfloat16_teacher(gfl):
    teacher = dict(**gfl(16), precision='bf16')
    model = CrossHeadDistill(gfl(), teacher, crossed(), entries=ENTRIES)
    inputs, samples = detection_batch(model)
    losses = model.loss(inputs, samples)
    sum(loss for name, loss in losses.items() if name.startswith('distill')).backward()
    assert model.architecture.backbone.conv1.weight.grad.isfinite().all()


def test_modules_that_do_not_fit(gfl):
    def build(entries=ENTRIES, distiller=None, student=None):
        return CrossHeadDistill(student or gfl(), gfl(16), distiller or crossed(), entries=entries)

    with pytest.raises(ValueError, match=r"entries: the student \(GFL\) has no module 'bbox_h"):
        build(['bbox_head.cls_convs.7'])
    with pytest.raises(ValueError, match="entries: expected a list of names of modules, got 'bbox"):
        build('bbox_head.cls_convs.0')
    with pytest.raises(ValueError, match=r"expected a loss on dict.type='mmkd.CrossOutputs'"):
        build(distiller=dict(losses=dict(pkd=dict(type='PKDLoss', on='neck'))))
    wrong = crossed({'cls': dict(type='mmkd.SoftFocalLoss', on='bbox_head.gfl_clz')})
    with pytest.raises(ValueError, match=r"has no module 'bbox_head.gfl_clz'; close .*gfl_cls"):
        build(distiller=wrong)
    narrow = build(student=gfl(feat_channels=16))
    with pytest.raises(
        ValueError, match=r'cls_convs.0: expected .* got \(2, 16, 8, 8\); both heads'
    ):
        narrow.loss(*detection_batch(narrow))
