"""Configs, and the files that they name, are read and written without running code in them."""

import math
import os
import pickle
import random
import string
import struct

import mmengine
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.structures import InstanceData

import mmkd.registry  # noqa: F401

ODD = [
    "'",
    '"',
    '"""',
    '\\',
    '\n',
    '\r',
    '{{ fileDirname }}',
    '{{',
    '}}',
    '{{$HOME:x}}',
    "{{'$NOWHERE:a'}}",
    '{{_base_.x}}',
    '${HOME}',
    '%s',
    '#',
    '\x00',
    '\x0c',
    '\x85',
    '\u2028',
    '\ud800',
    'é',
    'ﬁ',
    'class',
    ' ',
    '__import__("os").system("touch {proof}")',
]


def odd_texts(count, seed=0):
    draw = random.Random(seed)
    pieces = ODD + [*string.printable[:70]]
    return [''.join(draw.choices(pieces, k=draw.randint(1, 6))) for _ in range(count)] + ODD


def test_texts_in_a_dumped_config_read_back(tmp_path):
    texts = odd_texts(300)
    settings = dict(
        classes=tuple(texts),
        by_name=dict.fromkeys(texts, 1),
        mixed=[dict(name=text, inner=[text]) for text in texts[:20]],
        numbers=[math.inf, -math.inf, 1e300],
        lonely=math.nan,
        keyword={'class': 1, 'lambda': 2, 'ﬁ': 3},
    )
    path = tmp_path / 'dumped.py'
    Config(settings).dump(path)
    read = Config.fromfile(path)
    assert math.isnan(read.pop('lonely'))
    assert math.isnan(settings.pop('lonely'))
    assert read.to_dict() == settings


YAML = {
    'apply': "x: !!python/object/apply:os.system ['touch {proof}']",
    'new': "x: !!python/object/new:os.system ['touch {proof}']",
    'name': 'x: !!python/name:os.system',
    'module': 'x: !!python/module:os',
}


@pytest.mark.parametrize('suffix', ['.yaml', '.yml'])
@pytest.mark.parametrize('content', YAML.values(), ids=YAML)
def test_yaml_runs_nothing(content, suffix, tmp_path):
    path, proof = tmp_path / f'config{suffix}', tmp_path / 'proof'
    path.write_text(content.replace('{proof}', str(proof)))
    for read in (Config.fromfile, mmengine.load):
        with pytest.raises(ValueError, match='YAML: expected plain values, got !!python/'):
            read(str(path))
    heir = tmp_path / 'heir.py'
    heir.write_text(f'_base_ = {str(path)!r}')
    with pytest.raises(ValueError, match='YAML: expected plain values'):
        Config.fromfile(heir)
    assert not proof.exists()


def test_plain_yaml_reads_as_before(tmp_path):
    settings = dict(model=dict(type='A', size=(1, 2), names=['a', None], weight=0.5))
    Config(settings).dump(tmp_path / 'config.yaml')
    assert Config.fromfile(tmp_path / 'config.yaml').to_dict() == settings


def test_pickles_hold_plain_data_alone(tmp_path):
    plain = tmp_path / 'plain.pkl'
    plain.write_bytes(pickle.dumps({'a.jpg': [1, 2.5, None, ('x',)]}))
    assert mmengine.load(plain) == {'a.jpg': [1, 2.5, None, ('x',)]}
    proof = tmp_path / 'proof'
    evil = tmp_path / 'evil.pkl'
    evil.write_bytes(b'cposix\nsystem\n(Vtouch ' + str(proof).encode() + b'\ntR.')
    with pytest.raises(ValueError, match=r'got posix\.system'):
        mmengine.load(evil)
    assert not proof.exists()


def test_predictions_and_proposals_are_read(tmp_path):
    boxes = torch.arange(8.0).reshape(2, 4)
    instances = InstanceData(bboxes=boxes, labels=torch.tensor([0, 1]))
    content = [dict(pred_instances=dict(bboxes=boxes, n=np.float32([1, 2]))), instances, b'a']
    mmengine.dump(content, tmp_path / 'dumped.pkl')
    (tmp_path / 'pickled.pkl').write_bytes(pickle.dumps(content))
    for name in ('dumped', 'pickled'):
        predictions, proposals, text = mmengine.load(tmp_path / f'{name}.pkl')
        found = predictions['pred_instances']
        assert torch.equal(found['bboxes'], boxes)
        assert found['n'].tolist() == [1, 2]
        assert proposals.labels.tolist() == [0, 1]
        assert text == b'a'


def test_a_tensor_in_a_pickle_runs_nothing(tmp_path):
    proof, inner = tmp_path / 'proof', tmp_path / 'inner.pth'
    torch.save(_Evil(f'touch {proof}'), inner)
    text = inner.read_bytes()
    evil = b'\x80\x04ctorch.storage\n_load_from_bytes\nB' + struct.pack('<I', len(text)) + text
    (tmp_path / 'evil.pkl').write_bytes(evil + b'\x85R.')
    with pytest.raises(pickle.UnpicklingError, match='system'):
        mmengine.load(tmp_path / 'evil.pkl')
    assert not proof.exists()


class _Evil:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize(
    'name',
    [
        'torch.hub.load',
        'yaml.unsafe_load',
        'mmengine.Config.fromstring',
        'mmengine.utils.call_command',
    ],
)
def test_a_type_is_no_function_that_runs_what_it_is_given(name):
    with pytest.raises(RuntimeError, match=f'Failed to get {name}'):
        MODELS.build(dict(type=name))


@pytest.mark.parametrize('name', ['os.system', 'subprocess.Popen', 'builtins.exec', 'shutil.move'])
def test_a_type_is_nothing_of_python_itself(name):
    with pytest.raises(RuntimeError, match=f'Failed to get {name}') as error:
        MODELS.build(dict(type=name))
    assert "Python's own" in str(error.value.__context__)


def test_a_type_is_any_other_class():
    assert type(MODELS.build(dict(type='torch.nn.ReLU'))).__name__ == 'ReLU'
