"""The similarity that is logged is unbiased PCKA, and measuring it changes nothing."""

import logging
from types import SimpleNamespace

import pytest
import torch
from helpers import distiller_config, toy_detector

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.functional import pcka
from mmkd.hooks import FeatureSimilarityHook
from mmkd.teachers import FrozenTeacher


def batches(count=3):
    generator = torch.Generator().manual_seed(5)
    return [
        {'inputs': torch.randn(2, 3, 16, 16, generator=generator), 'data_samples': [None, None]}
        for _ in range(count)
    ]


class Logged(SimpleNamespace):
    """A runner as far as the hook needs one; keeps what is logged."""

    def __init__(self, model, epoch=0):
        logged = []
        super().__init__(
            model=model,
            epoch=epoch,
            val_dataloader=batches(),
            logged=logged,
            logger=logging.getLogger('test'),
            visualizer=SimpleNamespace(
                add_scalars=lambda values, step: logged.append((step, values['similarity']))
            ),
        )


def distilling(student, teacher):
    return FrozenTeacherDistill(student, FrozenTeacher(teacher), distiller_config())


def measure(runner, **arguments):
    hook = FeatureSimilarityHook(patch_size=4, **arguments)
    hook.before_train(runner)
    hook.after_train_epoch(runner)
    return runner.logged


def test_value_is_the_mean_of_unbiased_pcka_over_the_first_batches():
    student, teacher = toy_detector(0), toy_detector(1)
    ((epoch, value),) = measure(Logged(distilling(student, teacher)), num_batches=2)
    expected = [
        pcka(
            student.eval().extract_feat(b['inputs']),
            teacher.eval().extract_feat(b['inputs']),
            4,
            unbiased=True,
        )
        for b in batches()[:2]
    ]
    assert epoch == 1
    assert value == pytest.approx(torch.stack(expected).mean().item(), abs=1e-6)
    assert value < 0.99


def test_equal_models_read_one():
    ((_, value),) = measure(Logged(distilling(toy_detector(0), toy_detector(0))))
    assert value == pytest.approx(1, abs=1e-6)


def test_plain_student_is_compared_with_a_configured_teacher(monkeypatch):
    expected = measure(Logged(distilling(toy_detector(0), toy_detector(1))))
    monkeypatch.setattr(
        'mmkd.teachers.frozen_teacher.build_model', lambda config: toy_detector(config['seed'])
    )
    assert measure(Logged(toy_detector(0)), teacher={'seed': 1}) == expected


def test_measuring_keeps_random_state_mode_and_weights():
    student = toy_detector(0, dropout=torch.nn.Dropout(0.5)).train()
    runner = Logged(distilling(student, toy_detector(1)))
    runner.val_dataloader = torch.utils.data.DataLoader(
        batches(), batch_size=None, shuffle=True, num_workers=0
    )
    before = {name: value.clone() for name, value in student.state_dict().items()}
    state = torch.get_rng_state()
    measure(runner)
    assert torch.equal(torch.get_rng_state(), state)
    assert student.training
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def test_interval():
    runner = Logged(distilling(toy_detector(0), toy_detector(1)))
    hook = FeatureSimilarityHook(patch_size=4, interval=2)
    hook.before_train(runner)
    for epoch in range(4):
        runner.epoch = epoch
        hook.after_train_epoch(runner)
    assert [epoch for epoch, _ in runner.logged] == [2, 4]


def test_model_without_teacher_needs_one():
    with pytest.raises(ValueError, match='expected `teacher`, since the model has none'):
        FeatureSimilarityHook().before_train(Logged(toy_detector(0)))
