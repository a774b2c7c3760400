"""Synchronized batch normalization is the student's; without a GPU it is left out."""

import os

import pytest
import torch
from helpers import distiller_config, run_in_processes, toy_detector
from mmengine.model import convert_sync_batchnorm
from torch import nn
from toy_runs import toy_runner

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.teachers import FrozenTeacher


def build():
    student, teacher = (toy_detector(seed, dropout=nn.BatchNorm2d(4)) for seed in range(2))
    return FrozenTeacherDistill(student, FrozenTeacher(teacher), distiller_config())


def norm_of(detector):
    return detector.backbone[2]


def test_only_the_student_is_converted():
    plain, algorithm = build(), build()
    parameters = [*algorithm.parameters()]
    converted = convert_sync_batchnorm(algorithm, 'torch')
    converted.train()
    teacher = converted.teacher.model
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    assert type(norm_of(converted.student)) is nn.SyncBatchNorm
    assert type(norm_of(teacher)) is nn.BatchNorm2d
    assert not norm_of(teacher).training
    # What an optimizer built before the conversion holds is still what is trained.
    assert all(p is q for p, q in zip(parameters, converted.parameters(), strict=True))

    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) + 1
    losses, expected = (model(images, mode='loss') for model in (converted, plain))
    torch.testing.assert_close(losses, expected, rtol=0, atol=0)
    assert norm_of(converted.student).num_batches_tracked == 1
    torch.testing.assert_close(
        norm_of(converted.student).running_mean, norm_of(plain.student).running_mean
    )
    assert norm_of(converted.student).running_mean.abs().max() > 0
    torch.testing.assert_close(dict(teacher.state_dict()), before, rtol=0, atol=0)


def train_on_cpu(rank, work_dir):
    """Trained with synchronized layers, converted or the model's own, and with plain ones."""
    os.environ['LOCAL_RANK'] = str(rank)
    states = []
    for kind, sync_bn in (('plain', None), ('converted', 'torch'), ('own', None)):
        model = build()
        if kind == 'own':
            model = convert_sync_batchnorm(model, 'torch')
        runner = toy_runner(
            model,
            f'{work_dir}/{kind}',  # a log each: those of one second would share one
            name=kind,
            num_images=8,
            batch_size=2,
            cfg={'sync_bn': sync_bn},
        )
        runner.train()
        states.append(dict(runner.model.module.state_dict()))
    return states


@pytest.mark.skipif(torch.cuda.is_available(), reason='a GPU synchronizes')
def test_without_a_gpu_each_process_uses_its_own_batch(tmp_path):
    first, second = run_in_processes(train_on_cpu, str(tmp_path))
    for plain, converted, own in (first, second):
        torch.testing.assert_close(converted, plain, rtol=0, atol=0)
        torch.testing.assert_close(own, plain, rtol=0, atol=0)
    # The parameters are averaged as ever, the statistics are not.
    statistics = 'architecture.backbone.2.running_mean'
    different = {name for name in first[0] if not torch.equal(first[0][name], second[0][name])}
    assert different == {statistics, 'architecture.backbone.2.running_var'}
    written = ''.join(file.read_text() for file in tmp_path.rglob('*.log'))
    assert written.count('sync_bn: without a GPU batch statistics are not synchronized') == 2
