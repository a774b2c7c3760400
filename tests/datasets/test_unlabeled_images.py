"""Images without annotations: which files count, and what a broken one does."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mmkd.datasets import UnlabeledImages
from mmkd.datasets.unlabeled_images import image_files

PIPELINE = [{'type': 'mmcv.LoadImageFromFile'}, {'type': 'mmcv.Resize', 'scale': (8, 8)}]


@pytest.fixture
def folder(tmp_path):
    """Three pictures of other sizes in two folders, and files that are no pictures."""
    (tmp_path / 'more photos').mkdir()
    for number, name in enumerate(('b.jpg', 'a.PNG', 'more photos/c.webp')):
        picture = np.full((20 + number, 30, 3), 40 * number, np.uint8)
        kind = Path(name).suffix.lower()
        (tmp_path / name).write_bytes(cv2.imencode(kind, picture)[1].tobytes())
    (tmp_path / 'notes.txt').write_text('no picture')
    (tmp_path / 'README').write_text('no picture')
    (tmp_path / '.hidden.jpg').write_text('')
    (tmp_path / 'more photos/back').symlink_to(tmp_path)
    return tmp_path


def dataset(folder, **arguments):
    return UnlabeledImages(data_prefix={'img_path': str(folder)}, pipeline=PIPELINE, **arguments)


def test_files_of_all_folders_once(folder):
    images, others = image_files(folder)
    assert images == ['a.PNG', 'b.jpg', 'more photos/c.webp']
    assert others == {'.txt': 1, 'README': 1}
    with pytest.raises(FileNotFoundError, match=r'unlabeled: no such folder: .*/none'):
        image_files(folder / 'none')


def test_images_have_one_size_and_no_instances(folder):
    data = dataset(folder)
    assert [item['img_id'] for item in data] == [0, 1, 2]
    assert {item['img'].shape for item in data} == {(8, 8, 3)}
    assert [item['ori_shape'] for item in data] == [(21, 30), (20, 30), (22, 30)]
    assert all(item['instances'] == [] for item in data)


def test_list_of_images(folder, tmp_path):
    (tmp_path / 'list.txt').write_text('more photos/c.webp\n')
    [item] = dataset(folder, ann_file=str(tmp_path / 'list.txt'))
    assert item['img_path'] == f'{folder}/more photos/c.webp'


def test_broken_files_are_named_once_and_replaced(folder, monkeypatch):
    (folder / 'a.PNG').write_bytes(b'no picture')
    said = []
    monkeypatch.setattr(
        'mmkd.datasets.unlabeled_images.print_log', lambda text, *_, **__: said.append(text)
    )
    data = dataset(folder)
    numbers = [data[0]['img_id'] for _ in range(5)]
    assert set(numbers) <= {1, 2}
    assert len(said) == 1
    assert said[0].startswith(f'unlabeled: {folder}/a.PNG is left out, as it cannot be read: ')


def test_folder_of_broken_files(folder):
    for name in ('a.PNG', 'b.jpg', 'more photos/c.webp'):
        (folder / name).write_bytes(b'')
    with pytest.raises(ValueError, match='unlabeled: expected images, none of 3 files can be read'):
        dataset(folder)[0]


def test_missing_file_and_empty_folder(folder, tmp_path):
    data = dataset(folder)
    (folder / 'a.PNG').unlink()
    with pytest.raises(FileNotFoundError, match=r'a\.PNG'):
        data[0]
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match=r'unlabeled: expected images in .*/empty, got none'):
        dataset(tmp_path / 'empty')
