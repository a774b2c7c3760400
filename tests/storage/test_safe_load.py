"""Files that are no checkpoints are named for what they are; damage is noticed; nothing runs."""

import gzip
import io
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader, load_checkpoint
from torch import nn

from mmkd.storage.checkpoint import read_checkpoint
from mmkd.storage.safe_load import BrokenCheckpointError, UnsafeCheckpointError, safe_load
from mmkd.teachers import FrozenTeacher, build_teacher


def in_memory(save, *args, **kwargs):
    buffer = io.BytesIO()
    save(*args, buffer, **kwargs)
    return buffer.getvalue()


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as archive:
        archive.addfile(tarfile.TarInfo('epoch_1.pth'))
    return buffer.getvalue()


STATE = {'weight': torch.zeros(2, 2)}
SAFETENSORS = b'{"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
ONNX = b'\x08\x0a\x12\x07pytorch\x1a\x062.14.1:\x7a\x0a\x05input\x12\x06output'
KINDS = {
    'empty': (b'', 'an empty file'),
    'zeros': (bytes(4096), 'a file of zeros'),
    'LFS': (b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n', 'git lfs pull'),
    'page': (b'\n<!DOCTYPE html>\n<html><head>', 'a web page'),
    'page without a type': (b'<HTML lang="en">', 'a web page'),
    'error of a server': (b'<?xml version="1.0"?><Error>AccessDenied</Error>', 'an XML file'),
    'JSON': (b'{"images": [], "annotations": []}', 'a JSON file'),
    'JSON list': (b'[1, 2]', 'a JSON file'),
    'config': (b"model = dict(type='RetinaNet')\n", 'a text file'),
    'utf-8 text': ('épisode\n'.encode(), 'a text file'),
    'safetensors': (len(SAFETENSORS).to_bytes(8, 'little') + SAFETENSORS, 'safetensors.torch'),
    'ONNX': (ONNX, 'an ONNX model'),
    'npz': (in_memory(lambda b: np.savez(b, weight=np.zeros(3))), 'a NumPy archive'),
    'npy': (in_memory(lambda b: np.save(b, np.zeros(3))), 'a NumPy array'),
    'zip': (zipped(**{'data/a.txt': 'a'}), 'a zip archive of'),
    'zipped checkpoint': (zipped(**{'epoch_1.pth': in_memory(torch.save, STATE)}), 'unpack it'),
    'gzip': (gzip.compress(in_memory(torch.save, STATE)), 'a gzip archive'),
    'tar': (tarred(), 'a tar archive'),
    'HDF5': (b'\x89HDF\r\n\x1a\n' + bytes(100), 'an HDF5 file'),
    'PNG': (b'\x89PNG\r\n\x1a\n' + bytes(100), 'a picture'),
    'JPEG': (b'\xff\xd8\xff\xe0' + bytes(100), 'a picture'),
    'pickle': (pickle.dumps(STATE), 'a pickle that'),
    'old pickle': (pickle.dumps({'a': 1}, protocol=0), 'a text file'),
    'random bytes': (bytes(range(1, 256)) * 9, 'not a PyTorch checkpoint'),
}


@pytest.mark.parametrize('kind', KINDS)
def test_a_file_that_is_no_checkpoint_is_named(kind, tmp_path):
    content, message = KINDS[kind]
    path = tmp_path / 'weights.pth'
    path.write_bytes(content)
    with pytest.raises(BrokenCheckpointError, match=message) as error:
        read_checkpoint(path)
    assert f'{path} ({len(content)} bytes)' in str(error.value)


def test_torch_script_is_named(tmp_path):
    script = torch.jit.script(nn.Linear(1, 1))
    torch.jit.save(script, tmp_path / 'weights.pth')
    with pytest.raises(BrokenCheckpointError, match='a TorchScript model; save its weights'):
        safe_load(tmp_path / 'weights.pth')


def test_a_whole_model_is_refused(tmp_path):
    torch.save(nn.Linear(1, 1), tmp_path / 'model.pth')
    with pytest.raises(UnsafeCheckpointError, match=r'torch\.nn.*Linear.*save its `state_dict'):
        safe_load(tmp_path / 'model.pth')


@pytest.mark.parametrize(
    ('path', 'error', 'message'),
    [
        (5, TypeError, r'expected a path or URL \(text\), got 5 \(int\)'),
        (True, TypeError, 'got True'),
        ({'a': 1}, TypeError, 'got {'),
        (['a.pth'], TypeError, 'got .*a.pth'),
        (b'a.pth', TypeError, 'got b'),
        ('', ValueError, 'got an empty text'),
        (' ', ValueError, 'got an empty text'),
        ('absent.pth', FileNotFoundError, 'no such file'),
        ('.', FileNotFoundError, 'got the folder'),
        ('s4://bucket/a.pth', FileNotFoundError, 'no such file.*https://'),
        ('torchvision://resnet5', ValueError, "'resnet5'"),
        ('https://', ValueError, 'expected the URL of a file'),
    ],
)
def test_a_path_that_is_none(path, error, message):
    with pytest.raises(error, match=message):
        read_checkpoint(path)
    if path == 5:
        with pytest.raises(error, match=message):
            load_checkpoint(nn.Linear(1, 1), path)
        with pytest.raises(error, match=message):
            BaseModule(init_cfg={'type': 'Pretrained', 'checkpoint': path}).init_weights()


def test_a_folder_lists_its_checkpoints(tmp_path):
    (tmp_path / 'epoch_3.pth').touch()
    with pytest.raises(FileNotFoundError, match=r"got the folder .*; give one of \['epoch_3\.pth'"):
        CheckpointLoader.load_checkpoint(str(tmp_path))


@pytest.mark.parametrize('teacher', [None, 5, 'gfl.py', ['gfl.py'], nn.Linear(1, 1)])
def test_a_teacher_of_the_wrong_type(teacher):
    with pytest.raises(TypeError, match='teacher: expected a config'):
        build_teacher(teacher)


def test_a_teachers_checkpoint_of_the_wrong_type():
    model = dict(cfg_path='mmpretrain::resnet/resnet18_8xb16_cifar10.py')
    with pytest.raises(TypeError, match='checkpoint: expected a path or URL'):
        FrozenTeacher(model, 5)


class MakesFolder:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize('variable', ['1', 'y', 'TRUE', None])
def test_the_environment_cannot_make_loading_unsafe(tmp_path, monkeypatch, variable):
    if variable is not None:
        monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', variable)
    path = tmp_path / 'evil.pth'
    torch.save({'state_dict': STATE, 'meta': MakesFolder(tmp_path / 'executed')}, path)
    for load in (read_checkpoint, CheckpointLoader.load_checkpoint, safe_load):
        with pytest.raises(UnsafeCheckpointError, match='mkdir') as error:
            load(str(path))
        assert ('does not change that' in str(error.value)) == (variable is not None)
    assert not (tmp_path / 'executed').exists()
    torch.save(STATE, path)
    assert read_checkpoint(path).keys() == {'weight'}


def test_both_variables_are_a_contradiction(tmp_path, monkeypatch):
    torch.save(STATE, tmp_path / 'a.pth')
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')
    assert safe_load(tmp_path / 'a.pth').keys() == {'weight'}
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    with pytest.raises(ValueError, match='set at most one of them'):
        safe_load(tmp_path / 'a.pth')


def test_every_flipped_byte_of_an_archive_is_noticed_or_harmless(tmp_path):
    """PyTorch loads the weights of a damaged file; here they are right or it stops."""
    state = {'weight': torch.arange(64.0)}
    whole = in_memory(torch.save, state)
    noticed = 0
    for place in range(0, len(whole), 7):
        content = bytearray(whole)
        content[place] ^= 0x10
        try:
            assert torch.equal(safe_load(io.BytesIO(content))['weight'], state['weight'])
        except ValueError:
            noticed += 1
    assert noticed > 50


def test_an_archive_without_sums_loads():
    torch.serialization.set_crc32_options(False)
    try:
        content = in_memory(torch.save, STATE)
    finally:
        torch.serialization.set_crc32_options(True)
    assert safe_load(io.BytesIO(content)).keys() == {'weight'}


def test_the_format_before_archives_loads():
    content = in_memory(torch.save, STATE, _use_new_zipfile_serialization=False)
    assert safe_load(io.BytesIO(content)).keys() == {'weight'}


class LyingArray:
    """An array of numbers whose dtype says that they are pointers."""

    def __reduce__(self):
        return np._core.multiarray._reconstruct, (np.ndarray, (0,), b'b'), self.state()

    def state(self):
        return (1, (4,), LyingType(), False, b'\x41' * 32)


class LyingType:
    def __reduce__(self):
        return np.dtype, ('f8', False, True), (3, '<', None, None, None, -1, -1, 63)


def test_an_array_cannot_make_numpy_follow_numbers(tmp_path):
    torch.save({'array': LyingArray()}, tmp_path / 'evil.pth')
    array = safe_load(tmp_path / 'evil.pth')['array']
    assert array.dtype == np.float64
    assert not array.dtype.hasobject
    assert not np.dtype('f8').hasobject
    del array  # with the lie, NumPy would now release what the numbers point to


class Constructed:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    'call',
    [
        (np.ndarray, ((4,), 'f8')),
        (np.dtype, ('O',)),
        (np.dtype, ([('a', 'O')],)),
        (type(np.dtype('f8')), ()),
        (getattr, (str, 'format')),
        (eval, ('1',)),
        (__import__, ('os',)),
    ],
    ids=str,
)
def test_what_the_training_log_does_not_need_is_refused(tmp_path, call):
    torch.save({'meta': Constructed(*call)}, tmp_path / 'evil.pth')
    with pytest.raises(ValueError, match=r'refused|cannot read'):
        safe_load(tmp_path / 'evil.pth')
