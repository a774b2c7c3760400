"""A config that cannot be read is named, with the line and close names."""

import re

import pytest

from mmkd.checking.config_file import read_config


@pytest.fixture
def write(tmp_path):
    def write(text, name='my config.py'):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_a_path_with_spaces_is_read(write):
    assert read_config(write("model = dict(type='A')")).model.type == 'A'


@pytest.mark.parametrize(
    ('text', 'name', 'problem'),
    [
        ('model = dict(\n', 'a.py', r'a\.py, line 1: .*never closed'),
        ('model = 1\nx = y\n', 'a.py', r'a\.py, line 2: NameError'),
        ('', 'a.py', r'expected settings, found none in .*a\.py'),
        ("_base_ = './no.py'", 'a.py', r'a\.py.*no\.py'),
        ("custom_imports = dict(imports=['no_such_room'])", 'a.py', 'no_such_room'),
        ('{"a": ', 'a.json', r'cannot read .*a\.json'),
        ('a: [', 'a.yaml', r'cannot read .*a\.yaml'),
        ('x', 'a.pth', r'expected a file \.py'),
        ('- 1', 'a.yaml', r'expected settings by name, got \[1\]'),
        ('[1]', 'a.json', r'expected settings by name, got \[1\]'),
        ('_base_ = 3', 'a.py', r'_base_: expected a path or a list of paths, got \[3\]'),
        ("_base_ = 'a.py'", 'a.py', r'_base_: .*a\.py inherits from itself'),
        ('raise SystemExit(0)', 'a.py', r'a\.py, line 1: SystemExit'),
    ],
)
def test_a_file_that_is_no_config_is_named(write, text, name, problem):
    with pytest.raises((ValueError, FileNotFoundError, ImportError), match=r'config: ') as error:
        read_config(write(text, name))
    assert re.search(problem, str(error.value))


def test_bytes_that_are_no_text_are_named(tmp_path):
    (tmp_path / 'a.py').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ValueError, match='config: '):
        read_config(str(tmp_path / 'a.py'))


def test_close_names_of_a_missing_file_are_listed(write, tmp_path):
    write('model = 1', 'pcka.py')
    with pytest.raises(FileNotFoundError, match=r'no file .*pkca\.py; did you mean pcka\.py\?'):
        read_config(str(tmp_path / 'pkca.py'))
    with pytest.raises(ValueError, match='expected a file, got the folder'):
        read_config(str(tmp_path))


@pytest.mark.parametrize(
    ('path', 'problem'),
    [
        ('mmdet::', 'expected mmdet::path/of/config.py'),
        ('mmdte::a.py', "no package 'mmdte' for mmdte::a.py; did you mean mmdet"),
        (
            'mmdet::gfl/gfl_r50_fpn_1x_coc.py',
            'mmdet has no config gfl/gfl_r50_fpn_1x_coc.py; did you mean '
            'mmdet::gfl/gfl_r50_fpn_1x_coco.py',
        ),
        ('::a.py', "no package ''"),
    ],
)
def test_a_package_config_that_is_missing_is_named(path, problem):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        read_config(path)
    assert problem in str(error.value)
