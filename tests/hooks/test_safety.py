"""The safety hooks of a distillation run whatever its config says about hooks, and only once."""

import copy

import pytest
import torch
from helpers import distiller_config, toy_detector
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.hooks import FiniteLossHook
from mmkd.hooks.safety import add_safety_hooks
from mmkd.teachers import FrozenTeacher

NAMES = ['data_check', 'epoch_seed', 'finite_loss', 'missed_evaluation']


class Images(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {'inputs': torch.full((3, 8, 8), float(index))}


def runner_of(work_dir, lr=0.01, model=None, **settings):
    """MMEngine's own runner, as OpenMMLab's tools build it."""
    student = toy_detector(0, data_preprocessor={'type': 'ImgDataPreprocessor'})
    return Runner(
        model or FrozenTeacherDistill(student, FrozenTeacher(toy_detector(1)), distiller_config()),
        str(work_dir),
        train_dataloader=dict(dataset=Images(), sampler=dict(type='DefaultSampler'), batch_size=2),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=lr)),
        default_scope='mmengine',
        log_level='WARNING',
        experiment_name=str(work_dir),
        **settings,
    )


SETTINGS = [
    {},
    dict(custom_hooks=[]),
    dict(custom_hooks=[dict(type='EMAHook')]),
    dict(default_hooks=dict(checkpoint=dict(type='CheckpointHook'), visualization=None)),
]


@pytest.mark.parametrize('settings', SETTINGS)
def test_a_run_that_diverges_stops_and_saves_nothing(settings, tmp_path):
    runner = runner_of(tmp_path, lr=1e30, **copy.deepcopy(settings))
    with pytest.raises(FloatingPointError, match='expected finite'):
        runner.train()
    assert not [*tmp_path.glob('*.pth')]


def test_each_runs_once_and_only_in_a_distillation(tmp_path):
    listed = [dict(type='mmkd.EpochSeedHook')]
    hooks = [type(hook).__name__ for hook in runner_of(tmp_path, custom_hooks=listed).hooks]
    for name in ('DataCheckHook', 'FiniteLossHook', 'EpochSeedHook'):
        assert hooks.count(name) == 1
    plain = runner_of(tmp_path / 'plain', model=toy_detector(0))
    assert not any(isinstance(hook, FiniteLossHook) for hook in plain.hooks)


def hooks_of(default_hooks=None, custom_hooks=None):
    return add_safety_hooks(default_hooks, custom_hooks)


@pytest.mark.parametrize('settings', [*SETTINGS, dict(custom_hooks=None, default_hooks=None)])
def test_no_list_of_hooks_drops_them(settings):
    assert sorted({*hooks_of(**settings)} - {'checkpoint'}) == NAMES


@pytest.mark.parametrize(
    'hook', [dict(type='mmkd.FiniteLossHook', interval=10), dict(type=FiniteLossHook)]
)
def test_one_in_custom_hooks_does_not_run_twice(hook):
    hooks = hooks_of(custom_hooks=[hook], default_hooks=dict(finite_loss=dict(type='x')))
    assert sorted(hooks) == ['data_check', 'epoch_seed', 'missed_evaluation']


def test_none_is_the_request_to_drop_one():
    hooks = hooks_of(default_hooks=dict(finite_loss=None, timer=None, visualization=None))
    assert sorted(hooks) == ['data_check', 'epoch_seed', 'missed_evaluation', 'timer']


def test_their_settings_stay():
    given = dict(type='mmkd.FiniteLossHook', interval=10)
    assert hooks_of(default_hooks=dict(finite_loss=given))['finite_loss'] == given
