"""What is written into a config is read back, or refused by its key."""

import random
import string
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmkd.pairing.writing.config_text import assignments, docstring

PIECES = [
    *('"""', "'''", '\\', '\n', '\r\n', '{{ fileDirname }}', '{{', '}}', '{{$HOME:x}}'),
    *("{{'$NOWHERE:a'}}", '{{_base_.x}}', '#', '\x00', '\x0c', '\x85', '\u2028', '\ud800', 'é'),
    *('ﬁ', 'class', '# yapf: disable', '__import__("os").abort()', *string.printable[:95]),
]


def test_random_texts_are_read_back_wherever_they_stand():
    draw = random.Random(0)
    texts = [''.join(draw.choices(PIECES, k=draw.randint(1, 7))) for _ in range(300)]
    settings = dict(
        classes=tuple(texts),
        long='\\"{{' * 5000,
        by_name=[{text: {text: text}} for text in texts[:60]],
        data=dict(ann_file=texts[-1]),
    )
    code = f'{docstring(["title", *texts])}\n\n{assignments(settings)}'
    read = Config.fromstring(code, '.py')
    assert read.to_dict() == settings
    namespace = {}
    exec(code, namespace)
    assert namespace['__doc__'] == '\n'.join(['title', *texts, ''])


@pytest.mark.parametrize(
    ('value', 'read'),
    [
        (np.float64(0.1), 0.1),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("it's"), "it's"),
        (Path('a b/c.py'), 'a b/c.py'),
        (-float('inf'), -float('inf')),
        (True, True),
        (10**30, 10**30),
    ],
)
def test_numbers_and_paths_become_plain(value, read):
    cfg = Config.fromstring(assignments(dict(x=[value])), '.py')
    assert cfg.x == [read]
    assert type(cfg.x[0]) is type(read)


@pytest.mark.parametrize(
    'value', [torch.zeros(2), print, object, {1, 2}, b'{{', 1j, lambda: 0, np.zeros(2), object()]
)
def test_what_no_config_can_hold_is_named_by_its_key(value):
    with pytest.raises(TypeError, match=r'model\.heads\.1\.size: expected numbers, text'):
        assignments(dict(model=dict(heads=[{}, dict(size=value)])))


def test_a_class_as_type_is_written_as_its_name():
    read = Config.fromstring(assignments(dict(x=dict(type=torch.nn.ReLU))), '.py')
    assert read.x.type == 'torch.nn.modules.activation.ReLU'


@pytest.mark.parametrize('name', ['a b', 'class', 'ﬁ', '1a', '', 'x = 1\nimport os\ny', 3])
def test_a_setting_has_a_name_of_python(name):
    with pytest.raises(ValueError, match='config: expected names such as model'):
        assignments({name: 1})
