"""The safety hooks of a distillation run whatever its config says about hooks, and only once."""

import pytest
from mmengine.config import Config
from mmengine.hooks import CheckpointHook

from mmkd.api.added_hooks import add_safety_hooks
from mmkd.hooks import FiniteLossHook

NAMES = ['data_check', 'epoch_seed', 'finite_loss']
DISTILLATION = dict(type='mmkd.FrozenTeacherDistill', architecture={}, teacher={}, distiller={})


def hooks_of(model=DISTILLATION, **settings):
    cfg = Config(dict(model=model, default_scope='mmdet', **settings))
    add_safety_hooks(cfg)
    return cfg.get('default_hooks')


@pytest.mark.parametrize(
    'settings',
    [
        {},
        dict(custom_hooks=[]),
        dict(custom_hooks=None),
        dict(default_hooks=None),
        dict(custom_hooks=[dict(type='EMAHook')]),
        dict(default_hooks=dict(checkpoint=dict(type='CheckpointHook'))),
    ],
)
def test_no_list_of_hooks_drops_them(settings):
    assert sorted({*hooks_of(**settings)} - {'checkpoint'}) == NAMES


@pytest.mark.parametrize(
    'hook', [dict(type='mmkd.FiniteLossHook', interval=10), dict(type=FiniteLossHook)]
)
def test_one_in_custom_hooks_does_not_run_twice(hook):
    hooks = hooks_of(custom_hooks=[hook], default_hooks=dict(finite_loss=dict(type='x')))
    assert sorted(hooks) == ['data_check', 'epoch_seed']


def test_none_is_the_request_to_drop_one():
    hooks = hooks_of(default_hooks=dict(finite_loss=None, timer=None, visualization=None))
    assert sorted(hooks) == ['data_check', 'epoch_seed', 'timer']


def test_their_settings_stay():
    given = dict(type='mmkd.FiniteLossHook', interval=10)
    assert hooks_of(default_hooks=dict(finite_loss=given))['finite_loss'] == given


def test_a_plain_model_gets_none():
    assert hooks_of(model=dict(type='GFL')) is None
    hook = dict(type=CheckpointHook)
    assert hooks_of(model=dict(type='GFL'), default_hooks=dict(checkpoint=hook)) == dict(
        checkpoint=hook
    )
