"""A pair of one's own: the README's config, from a student that inherits one of mmkd's."""

import pytest
import torch

from mmkd.api.running import build_runner, load_config
from mmkd.models.building import build_model

STUDENT = """
_base_ = 'mmkd::digits/resnet8_digits.py'
train_dataloader = dict(dataset=dict(num_samples=64))
val_dataloader = dict(dataset=dict(num_samples=64))
train_cfg = dict(max_epochs=1, val_interval=1)
param_scheduler = []
"""
PAIR = """
_base_ = ['my_student.py', 'mmkd::_base_/distillers/{method}.py']

model = dict(
    _delete_=True,
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path={student!r}),
    teacher=dict(cfg_path='mmkd::digits/resnet14_digits.py', checkpoint={teacher!r}),
    distiller=_base_.distiller,
)
"""


@pytest.mark.parametrize('method', ['rcka', 'kd'])
def test_readme_example(method, tmp_path):
    teacher = build_model({'cfg_path': 'mmkd::digits/resnet14_digits.py'})
    torch.save({'state_dict': teacher.state_dict()}, tmp_path / 'teacher.pth')
    student, path = tmp_path / 'my_student.py', tmp_path / f'my_{method}.py'
    student.write_text(STUDENT)
    text = PAIR.format(method=method, student=str(student), teacher=str(tmp_path / 'teacher.pth'))
    path.write_text(text)
    cfg = load_config(str(path))
    cfg.work_dir = str(tmp_path / 'work')
    runner = build_runner(cfg)
    runner.train()
    scalars = runner.message_hub.log_scalars
    assert runner.iter == 2
    assert any(name.startswith('train/distill.loss') for name in scalars)
    assert 'val/accuracy/top1' in scalars
