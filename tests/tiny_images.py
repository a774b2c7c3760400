"""Classification data of eight images in every format that a config reads."""

import pickle

import cv2
import numpy as np

from mmkd.datasets.superclass_file import encode_superclasses

LABELS = np.arange(8) // 4
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)


def write_tiny_images(folder):
    """Write CIFAR-10, CIFAR-100, STL-10, a list of files for MMPretrain, and superclasses."""
    write_cifar(folder)
    write_stl10(folder)
    write_list(folder)
    (folder / 'superclasses.npz').write_bytes(encode_superclasses(LABELS, LABELS))


def write_cifar(folder):
    rows = IMAGES.reshape(8, -1)
    fine = {b'data': rows, b'fine_labels': LABELS.tolist()}
    write_pickles(
        folder / 'cifar-100-python',
        {'train': fine, 'test': fine, 'meta': {b'fine_label_names': names(100)}},
    )
    parts = {f'data_batch_{i + 1}': slice(2 * i, 2 * i + 2) for i in range(3)}
    parts |= {'data_batch_4': slice(6, 7), 'data_batch_5': slice(7, 8), 'test_batch': slice(8)}
    coarse = {
        name: {b'data': rows[part], b'labels': LABELS[part].tolist()}
        for name, part in parts.items()
    }
    write_pickles(
        folder / 'cifar-10-batches-py', coarse | {'batches.meta': {b'label_names': names(10)}}
    )


def names(count):
    return [b'class %d' % i for i in range(count)]


def write_pickles(folder, contents):
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content))


def write_stl10(folder):
    columns = np.kron(IMAGES, np.ones((1, 1, 3, 3), np.uint8)).swapaxes(2, 3)
    (folder / 'stl10_binary').mkdir()
    for split in ('train', 'test', 'unlabeled'):
        columns.tofile(folder / 'stl10_binary' / f'{split}_X.bin')
    for split in ('train', 'test'):
        (LABELS + 1).astype(np.uint8).tofile(folder / 'stl10_binary' / f'{split}_y.bin')


def write_list(folder):
    lines = []
    for index, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
        cv2.imwrite(str(folder / f'{index}.png'), image.transpose(1, 2, 0))
        lines.append(f'{index}.png {label}\n')
    (folder / 'list.txt').write_text(''.join(lines))
