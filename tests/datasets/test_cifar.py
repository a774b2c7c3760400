import json
import os
import pickle
import struct

import cv2
import numpy as np
import pytest

from mmkd.datasets import CIFAR10Dataset, CIFAR100Dataset
from mmkd.datasets.cifar_files import read_cifar_batch

NAMES = ('apple', 'bear', 'cloud')


def pictures(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


def dump(path, content, protocol=4):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))


def python_2_string(text):
    """Opcode of a Python 2 ``str``, which is what the official files hold as keys and bytes."""
    text = text.encode() if isinstance(text, str) else text
    return b'T' + struct.pack('<i', len(text)) + text


def python_2_pickle(images, labels, label_key):
    """A batch written opcode by opcode as Python 2 and its NumPy would, protocol 2."""
    rows = images.reshape(len(images), -1)
    integers = b''.join(b'J' + struct.pack('<i', label) for label in labels)
    dtype = (
        b'cnumpy\ndtype\n' + python_2_string('u1') + b'K\x00K\x01\x87R(K\x03'
        + python_2_string('|') + b'NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb'
    )  # fmt: skip
    shape = b''.join(b'J' + struct.pack('<i', side) for side in rows.shape) + b'\x86'
    array = (
        b'cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85'
        + python_2_string('b') + b'\x87R(K\x01' + shape + dtype + b'\x89'
        + python_2_string(rows.tobytes()) + b'tb'
    )  # fmt: skip
    return (
        b'\x80\x02}(' + python_2_string('data') + array
        + python_2_string(label_key) + b'](' + integers + b'e' + b'u.'
    )  # fmt: skip


@pytest.fixture
def official(tmp_path):
    """CIFAR-100 as published, of five training and two test images."""
    folder = tmp_path / 'cifar-100-python'
    folder.mkdir()
    for split, count in (('train', 5), ('test', 2)):
        labels = [i % 3 for i in range(count)]
        content = python_2_pickle(pictures(count, seed=count), labels, 'fine_labels')
        (folder / split).write_bytes(content)
    dump(folder / 'meta', {'fine_label_names': list(NAMES), 'coarse_label_names': ['a', 'b']})
    return tmp_path


@pytest.mark.parametrize('nested', [True, False])
@pytest.mark.parametrize(('split', 'count'), [('train', 5), ('test', 2)])
def test_the_official_files_of_cifar_100(official, split, count, nested):
    root = official if nested else official / 'cifar-100-python'
    data = CIFAR100Dataset(str(root), split=split, device='cpu')
    np.testing.assert_array_equal(data.images, pictures(count, seed=count))
    assert data.get_gt_labels().tolist() == [0, 1, 2, 0, 1][:count]
    assert data.metainfo == {'classes': NAMES, 'dataset_type': 'cifar100'}


@pytest.mark.parametrize('protocol', [3, 4])
def test_files_that_python_3_wrote_with_bytes_as_keys(official, protocol):
    folder = official / 'cifar-100-python'
    rows = pictures(4).reshape(4, -1)
    content = {b'data': rows, b'fine_labels': [2, 1, 0, 2], b'coarse_labels': [0] * 4}
    dump(folder / 'train', content, protocol)
    dump(folder / 'meta', {b'fine_label_names': [name.encode() for name in NAMES]}, protocol)
    data = CIFAR100Dataset(official, device='cpu')
    np.testing.assert_array_equal(data.images, pictures(4))
    assert data.get_gt_labels().tolist() == [2, 1, 0, 2]
    assert data.metainfo['classes'] == NAMES


def write_cifar_10(folder):
    for index in range(1, 6):
        content = python_2_pickle(pictures(2, seed=index), [index, 0], 'labels')
        (folder / f'data_batch_{index}').write_bytes(content)
    (folder / 'test_batch').write_bytes(python_2_pickle(pictures(1, seed=9), [7], 'labels'))
    dump(folder / 'batches.meta', {'label_names': [f'class {i}' for i in range(10)]})


@pytest.mark.parametrize('nested', [True, False])
def test_the_official_files_of_cifar_10(tmp_path, nested):
    folder = tmp_path / 'cifar-10-batches-py' if nested else tmp_path
    folder.mkdir(exist_ok=True)
    write_cifar_10(folder)
    train = CIFAR10Dataset(tmp_path, device='cpu')
    test = CIFAR10Dataset(tmp_path, split='test', device='cpu')
    expected = np.concatenate([pictures(2, seed=index) for index in range(1, 6)])
    np.testing.assert_array_equal(train.images, expected)
    assert train.get_gt_labels().tolist() == [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]
    np.testing.assert_array_equal(test.images, pictures(1, seed=9))
    assert test.get_gt_labels().tolist() == [7]
    assert train.metainfo['classes'][3] == 'class 3'
    assert train.metainfo['dataset_type'] == 'cifar10'


def write_mosaics(root, split='train'):
    """Two rows of 25 tiles a class; lossless, as the tiles are compared exactly."""
    (root / split).mkdir()
    (root / 'classes.json').write_text(json.dumps(NAMES))
    for label in range(3):
        canvas = np.zeros((64, 800, 3), np.uint8)
        for index, tile in enumerate(pictures(50, seed=label)):
            row, column = divmod(index, 25)
            canvas[32 * row :, 32 * column :][:32, :32] = tile.transpose(1, 2, 0)
        bgr = cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(root / split / f'{label:02d}.webp'), bgr, [cv2.IMWRITE_WEBP_QUALITY, 101])


def test_mosaics_of_cifar_100(tmp_path):
    write_mosaics(tmp_path)
    data = CIFAR100Dataset(tmp_path, device='cpu')
    expected = np.concatenate([pictures(50, seed=label) for label in range(3)])
    np.testing.assert_array_equal(data.images, expected)
    assert data.get_gt_labels().tolist() == [0] * 50 + [1] * 50 + [2] * 50
    assert data.metainfo == {'classes': NAMES, 'dataset_type': 'cifar100'}


def test_arguments_reach_the_data_in_memory(official):
    options = {'augment': True, 'flip': False, 'crop_padding': 2}
    data = CIFAR100Dataset(official, num_samples=3, with_labels=False, device='cpu', **options)
    assert len(data) == 3
    assert data.labels is None
    assert (data.augment, data.flip, data.crop_padding) == (True, False, 2)


class Malicious:
    """Makes a file when unpickled without care."""

    def __init__(self, path, function=os.mkdir):
        self.call = function, (str(path),)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('where', ['train', 'meta'])
@pytest.mark.parametrize('function', [os.mkdir, eval, open, getattr])
def test_a_malicious_pickle_is_refused(official, tmp_path, where, function):
    trace = tmp_path / 'ran'
    dump(official / 'cifar-100-python' / where, {'data': Malicious(trace, function)})
    name = rf'{where}: expected only plain values and NumPy arrays, got .*{function.__name__}'
    with pytest.raises(pickle.UnpicklingError, match=name):
        CIFAR100Dataset(official, device='cpu')
    assert not trace.exists()


def test_code_inside_an_array_of_objects_is_refused(official, tmp_path):
    trace = tmp_path / 'ran'
    dump(official / 'cifar-100-python' / 'train', {'data': np.array([Malicious(trace)], object)})
    with pytest.raises(pickle.UnpicklingError, match=r'arrays of numbers|mkdir'):
        CIFAR100Dataset(official, device='cpu')
    assert not trace.exists()


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        (b'NNNJ\xff\xff\xff\xff', b'N)}J\xff\xff\xff\xff'),  # plain numbers, with fields
        (b'u1', b'O8'),
        (b'u1', b'V1'),
    ],
)
def test_a_dtype_that_lies_about_its_objects_is_refused(official, old, new):
    content = python_2_pickle(pictures(3), [0] * 3, 'fine_labels')
    lying = content.replace(old, new)
    assert lying != content
    (official / 'cifar-100-python' / 'train').write_bytes(lying)
    with pytest.raises(pickle.UnpicklingError, match=r'train: expected arrays of'):
        CIFAR100Dataset(official, device='cpu')


def test_mutated_pickles_end_in_an_error_that_names_the_file(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / 'batch'
    whole = pickle.dumps({'data': np.zeros((2, 3072), np.uint8), 'labels': [0, 1]}, protocol=2)
    header = whole.index(b'\x89')  # the bytes after it are only pixels
    messages = []
    for _ in range(150):
        content = bytearray(whole)
        for place in rng.integers(2, header + 10, rng.integers(1, 5)):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        try:
            read_cifar_batch(path, 'labels')
        except (pickle.UnpicklingError, ValueError) as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert all(str(path) in message for message in messages)


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'not a pickle',
        b'garbage',
        b'cnumpy\ndtype\n)R.',
        python_2_pickle(pictures(3), [0] * 3, 'fine_labels')[:-2000],
    ],
)
def test_a_damaged_file_is_named(official, content):
    (official / 'cifar-100-python' / 'train').write_bytes(content)
    with pytest.raises(pickle.UnpicklingError, match=r'cifar-100-python.train: '):
        CIFAR100Dataset(official, device='cpu')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'data': np.zeros((2, 3072))}, r"'data' of uint8 .* got float64 of shape \(2, 3072\)"),
        ({'data': np.zeros((2, 8), np.uint8)}, r'shape \(N, 3072\), got uint8 of shape \(2, 8\)'),
        ({}, "expected 'data'"),
        ({'data': np.zeros((2, 3072), np.uint8)}, "expected 'fine_labels' of 2 integers"),
        (
            {'data': np.zeros((2, 3072), np.uint8), 'fine_labels': [1, 2, 3]},
            r"'fine_labels' of 2 integers, got int64 of shape \(3,\)",
        ),
    ],
)
def test_a_file_without_images_and_labels(official, content, message):
    dump(official / 'cifar-100-python' / 'train', content)
    with pytest.raises(ValueError, match=message):
        CIFAR100Dataset(official, device='cpu')


def test_other_content_of_a_pickle(official):
    dump(official / 'cifar-100-python' / 'meta', {'fine_label_names': []})
    with pytest.raises(ValueError, match=r"meta: expected 'fine_label_names', .* got \[\]"):
        CIFAR100Dataset(official, device='cpu')
    dump(official / 'cifar-100-python' / 'meta', [1, 2])
    with pytest.raises(pickle.UnpicklingError, match='expected a dict, got list'):
        CIFAR100Dataset(official, device='cpu')


def test_missing_files_are_named(tmp_path, official):
    empty = tmp_path / 'empty'
    with pytest.raises(FileNotFoundError) as error:
        CIFAR100Dataset(empty, split='test')
    for wanted in (f"'{empty}'", 'cifar-100-python/test', '/meta', 'test/NN.webp', 'classes.json'):
        assert wanted in str(error.value)
    with pytest.raises(
        FileNotFoundError,
        match=r'cifar-10-batches-py, with the files .*data_batch_5, batches\.meta, got',
    ):
        CIFAR10Dataset(empty)
    (official / 'cifar-100-python' / 'meta').unlink()
    with pytest.raises(FileNotFoundError, match='found neither'):
        CIFAR100Dataset(official)


def test_bad_mosaics(tmp_path):
    write_mosaics(tmp_path)
    mosaic = tmp_path / 'train' / '01.webp'
    mosaic.write_bytes(b'no picture')
    with pytest.raises(ValueError, match=r'01\.webp: expected a picture'):
        CIFAR100Dataset(tmp_path)
    cv2.imwrite(str(mosaic), np.zeros((40, 64, 3), np.uint8))
    with pytest.raises(ValueError, match=r'multiples of 32 pixels, got \(40, 64\)'):
        CIFAR100Dataset(tmp_path)
    mosaic.unlink()
    with pytest.raises(FileNotFoundError, match=r'one mosaic a class, but .*01\.webp'):
        CIFAR100Dataset(tmp_path)


def test_splits(official):
    for dataset in (CIFAR10Dataset, CIFAR100Dataset):
        with pytest.raises(
            ValueError, match=r"split: expected one of \('train', 'test'\), got 'val'"
        ):
            dataset(official, split='val')
