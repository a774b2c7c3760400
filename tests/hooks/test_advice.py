"""Advice: what it warns of, what it does not, once each, and in a whole run."""

from types import SimpleNamespace

import pytest
import torch
from helpers import distiller_config, toy_detector
from torch.utils.data import Dataset

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.hooks import AdviceHook, TeacherEvaluationHook
from mmkd.hooks.advice import read_advice
from mmkd.teachers import FrozenTeacher


@pytest.fixture(autouse=True)
def work_dir(tmp_path, monkeypatch):
    """Each test writes its advice into a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class FakeRun:
    """A run whose losses and metrics a test chooses."""

    def __init__(self, hook=None, teacher=None, begin=0):
        self.hook, self.warnings, self.factors = hook or AdviceHook(window=2), [], {}
        evaluation = TeacherEvaluationHook()
        evaluation.metrics = {'teacher': teacher} if teacher else {}
        model = SimpleNamespace(
            loss_factors={}, loss_factor=lambda name: self.factors.get(name, 1.0)
        )
        self.runner = SimpleNamespace(
            model=model,
            hooks=[evaluation, self.hook],
            logger=SimpleNamespace(warning=self.warnings.append),
            iter=begin,
            epoch=0,
            work_dir='.',
        )
        self.hook.before_train(self.runner)

    def train(self, *values, task=1.0, name='loss_a', **others):
        """One iteration for each value of the weighted distillation loss."""
        for value in values:
            outputs = {
                'loss': 99.0,
                'student.loss_cls': torch.tensor(task),
                'student.acc': torch.tensor(77.0),
                f'distill.{name}': torch.tensor(value),
                **{f'distill.{key}': torch.tensor(other) for key, other in others.items()},
            }
            self.hook.after_train_iter(self.runner, 0, outputs=outputs)
            self.runner.iter += 1
        return self.warnings

    def validate(self, **metrics):
        self.hook.after_val_epoch(self.runner, {f'coco/{k}': v for k, v in metrics.items()})
        return self.warnings


def test_a_good_run_is_left_alone():
    run = FakeRun(teacher={'coco/bbox_mAP': 0.4})
    run.train(3.0, 2.0, 1.5, 1.4, 1.3, 1.2, 1.2, 1.2)
    assert run.validate(bbox_mAP=0.1, bbox_mAP_s=-1.0) == []


def test_a_loss_that_does_not_fall():
    run = FakeRun()
    run.train(3.0, 1.0, 5.0, 5.0, 2.0, 1.0)
    assert run.warnings == []
    run = FakeRun()
    [warning] = run.train(1.0, 2.0, 1.0, 1.0, 2.0, 0.99)
    assert 'loss_a has not fallen in 6 iterations (1.5, then 1.495)' in warning
    assert len(run.train(9.0, 9.0, 9.0, 9.0, 9.0, 9.0)) == 1


def test_factors_do_not_count_as_progress_or_as_none():
    run = FakeRun()
    for factor, value in ((0.0, 0.0), (0.5, 1.0), (1.0, 1.9), (1.0, 1.9), (1.0, 1.8), (1.0, 1.8)):
        run.factors = {'loss_a': factor}
        run.train(value)
    assert run.warnings == []  # 2, then 1.8
    run = FakeRun()
    for factor in (1.0, 0.8, 0.6, 0.4, 0.2, 0.1):
        run.factors = {'loss_a': factor}
        run.train(2 * factor)
    assert 'loss_a has not fallen in 6 iterations (2, then 2)' in run.warnings[0]


def test_a_resumed_run_does_not_know_how_its_losses_began():
    assert FakeRun(begin=50).train(*[1.0] * 8) == []


def test_losses_that_dwarf_the_task():
    assert FakeRun().train(6.0, 5.0, loss_b=4.0) == []
    run = FakeRun()
    [warning] = run.train(6.0, 7.0, task=0.5, loss_b=4.0)
    assert 'the distillation losses are 21 times' in warning
    assert len(run.train(90.0, 70.0)) == 1


def test_a_student_at_0():
    [warning] = FakeRun().validate(bbox_mAP=0.0, bbox_mAP_l=-1.0)
    assert 'the student is at 0' in warning
    assert len(FakeRun().validate()) == 1  # CocoMetric gives no AP without a detection


def test_what_was_said_is_kept_and_a_resumed_run_does_not_repeat_it(work_dir):
    assert read_advice(work_dir) == []
    run = FakeRun(teacher={'coco/bbox_mAP': 0.01})
    run.train(1.0, 1.0)
    run.validate(bbox_mAP=0.0)
    first, second = read_advice(work_dir)
    assert (first['kind'], first['iteration']) == ('weak teacher', 0)
    assert (second['kind'], second['iteration'], second['epoch']) == ('zero', 2, 0)
    assert second['text'] in run.warnings[1]

    assert FakeRun(begin=2).validate(bbox_mAP=0.0) == []
    assert len(read_advice(work_dir)) == 2
    assert len(FakeRun(begin=1).validate(bbox_mAP=0.0)) == 1  # resumed from before it was said
    FakeRun()  # another training in the same folder
    assert read_advice(work_dir) == []


@pytest.mark.parametrize('content', ['', '{}', '[1, {"kind": "zero"}]', '[[['])
def test_a_damaged_file_gives_no_advice(work_dir, content):
    (work_dir / 'advice.json').write_text(content)
    assert read_advice(work_dir) == []


def test_a_weak_teacher():
    [warning] = FakeRun(teacher={'coco/bbox_mAP': 0.01, 'coco/bbox_mAP_s': -1.0}).warnings
    assert 'teacher is weak on the validation data (coco/bbox_mAP 0.01, coco' in warning
    [warning] = FakeRun(teacher={'accuracy/top1': 4.9}).warnings  # in percent
    assert 'accuracy/top1 4.9' in warning
    assert FakeRun(teacher={'accuracy/top1': 5.1}).warnings == []


def test_a_teacher_no_better_than_the_student():
    run = FakeRun(teacher={'coco/bbox_mAP': 0.3, 'coco/bbox_mAP_50': 0.5})
    assert run.validate(bbox_mAP=0.31, bbox_mAP_50=0.4) == []
    [warning] = run.validate(bbox_mAP=0.31, bbox_mAP_50=0.5)
    assert 'no better than the student (coco/bbox_mAP: 0.3 and 0.31)' in warning
    assert len(run.validate(bbox_mAP=0.4, bbox_mAP_50=0.6)) == 1


class Images(Dataset):
    """Twelve equal images, whose loss cannot fall without a learning rate."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return {'inputs': torch.ones(3, 8, 8)}


def test_in_a_run(toy_runner, monkeypatch):
    model = FrozenTeacherDistill(
        toy_detector(0),
        FrozenTeacher(toy_detector(1)),
        distiller_config(loss={'type': 'mmkd.MimicLoss', 'loss_weight': 1e4}),
    )
    loader = {
        'dataset': Images(),
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'collate_fn': {'type': 'default_collate'},
    }
    runner = toy_runner(
        model=model,
        loader=loader,
        custom_hooks=[{'type': 'mmkd.AdviceHook', 'window': 2}],
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.0}},
        param_scheduler=None,
    )
    warnings = []
    monkeypatch.setattr(runner.logger, 'warning', warnings.append)
    runner.train()
    advice = [warning for warning in warnings if warning.startswith('advice: ')]
    assert len(advice) == 2
    assert 'the distillation losses are' in advice[0]
    assert 'loss_feature has not fallen in 6 iterations' in advice[1]


def test_wrong_use():
    with pytest.raises(ValueError, match='window: expected'):
        AdviceHook(window=0)
    with pytest.raises(ValueError, match='weak: expected'):
        AdviceHook(weak=0)
    with pytest.raises(ValueError, match=r'a model with a distiller .* got ToyDetector'):
        AdviceHook().before_train(SimpleNamespace(model=toy_detector()))
