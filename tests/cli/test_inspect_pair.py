"""The table of a pair's modules on the console."""

import pytest
from helpers import CLASSIFIER
from mmengine.config import Config

from mmkd.cli import inspect_pair


def printed(capsys, *arguments):
    inspect_pair.main([*map(str, arguments)])
    return capsys.readouterr().out


def test_tool_prints_both_models_of_a_distillation(repo, capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '100')
    path = repo / 'configs/pcka/pcka_gfl_r18w48_r18w16_fpn_digits.py'
    out = printed(capsys, path, '--filter', 'neck', '--depth', 1).splitlines()
    assert out[0].startswith('student: GFL, 1.0 M')
    assert out[1].startswith('teacher: GFL, 6.6 M')
    assert out[2] == 'image: 160 x 160'  # as in training
    assert [line.rstrip() for line in out[4:6]] == [
        'module  student       teacher',
        'neck    64x20x20 /8   64x20x20 /8',
    ]


def test_tool_prints_a_column_for_each_teacher(repo, capsys, tmp_path):
    teacher = {'cfg_path': 'mmpretrain::resnet/resnet18_8xb16_cifar10.py', 'checkpoint': 'none.pth'}
    model = {
        'type': 'mmkd.FrozenTeacherDistill',
        'architecture': CLASSIFIER,
        'teacher': {'members': {'first': teacher, 'second': CLASSIFIER}},
    }
    Config({'model': model, 'default_scope': 'mmpretrain'}).dump(tmp_path / 'pair.py')
    out = printed(capsys, tmp_path / 'pair.py', '--size', 64, 32, '--depth', 1).splitlines()
    assert out[3] == 'image: 64 x 32'
    assert out[5].split() == ['module', 'student', 'first', 'second']
    assert out[6].split() == ['backbone', '64x8x4', '/8', '512x8x4', '/8', '64x8x4', '/8']


def test_tool_takes_two_plain_configs(repo, capsys):
    student, teacher = (repo / f'configs/digits/resnet{depth}_digits.py' for depth in (8, 14))
    out = printed(capsys, '--student', student, '--teacher', teacher, '--filter', 'head.fc')
    assert out.splitlines()[2] == 'image: 32 x 32'
    assert out.splitlines()[-1].split() == ['head.fc', '1x10', '1x10']


@pytest.mark.parametrize(
    'arguments', [[], ['--student', 'a.py'], ['c.py', '--student', 'a.py', '--teacher', 'b.py']]
)
def test_tool_needs_a_config_or_both_models(arguments, capsys):
    with pytest.raises(SystemExit):
        inspect_pair.main(arguments)
    assert 'either a config or both --teacher and --student' in capsys.readouterr().err


def test_tool_says_that_a_config_is_no_distillation(repo):
    with pytest.raises(ValueError, match=r'config: expected a distillation .* --student'):
        inspect_pair.main([str(repo / 'configs/digits/resnet8_digits.py')])


@pytest.mark.parametrize(
    ('arguments', 'problem'),
    [
        (['--depth', '0'], '--depth: expected a positive number, got 0'),
        (['--size', '0', '8'], '--size: expected positive numbers'),
    ],
)
def test_numbers_without_meaning_are_named(arguments, problem, capsys):
    with pytest.raises(SystemExit):
        inspect_pair.main(['a.py', *arguments])
    assert problem in capsys.readouterr().err


def test_a_filter_that_fits_no_module_is_named(repo):
    path = repo / 'configs/pcka/pcka_gfl_r18w48_r18w16_fpn_digits.py'
    with pytest.raises(ValueError, match="--filter: no name of 2 parts contains 'zzz'"):
        inspect_pair.main([str(path), '--filter', 'zzz'])
