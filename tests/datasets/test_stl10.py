import numpy as np
import pytest
from PIL import Image

from mmkd.datasets import STL10Dataset, stl10

COUNTS = {'train': 5, 'test': 3, 'unlabeled': 4}
FILES = {'train': 'train', 'test': 'test', 'unlabeled': 'unlabeled'}


def pictures(split):
    rng = np.random.default_rng(COUNTS[split])
    return rng.integers(0, 256, (COUNTS[split], 96, 96, 3), dtype=np.uint8)


@pytest.fixture
def official(tmp_path):
    """STL-10 as published, of a few images; a file holds an image channel by column by row."""
    folder = tmp_path / 'stl10_binary'
    folder.mkdir()
    for split, name in FILES.items():
        with (folder / f'{name}_X.bin').open('wb') as file:
            for picture in pictures(split):
                for channel in range(3):
                    for column in range(96):
                        file.write(picture[:, column, channel].tobytes())
        if split != 'unlabeled':
            labels = np.arange(COUNTS[split], dtype=np.uint8) + 1
            labels.tofile(folder / f'{name}_y.bin')
    return tmp_path


@pytest.mark.parametrize('chunk', [2, 4096])
@pytest.mark.parametrize('split', [*COUNTS])
def test_images_are_upright_and_shrunk_as_pillow_shrinks_them(official, split, chunk, monkeypatch):
    monkeypatch.setattr(stl10, '_CHUNK', chunk)
    data = STL10Dataset(official, split=split, device='cpu')
    expected = [Image.fromarray(x).resize((32, 32), Image.BILINEAR) for x in pictures(split)]
    expected = np.stack([np.asarray(image) for image in expected]).transpose(0, 3, 1, 2)
    # Both round after each of two passes, with weights of their own precision.
    assert np.abs(data.images.numpy().astype(int) - expected).max() <= 1


def test_labels_count_from_zero(official):
    data = STL10Dataset(official / 'stl10_binary', device='cpu')
    assert data.get_gt_labels().tolist() == [0, 1, 2, 3, 4]
    assert data.metainfo['dataset_type'] == 'stl10'
    assert data.metainfo['classes'][0] == 'airplane'
    assert len({*data.metainfo['classes']}) == 10


def test_the_unlabeled_split_has_no_labels(official):
    data = STL10Dataset(official, split='unlabeled', device='cpu')
    assert 'gt_label' not in data[0]['data_samples']


def test_errors(official):
    with pytest.raises(ValueError, match=r"'test', 'unlabeled'\), got 'val'"):
        STL10Dataset(official, split='val')
    (official / 'stl10_binary' / 'train_y.bin').unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r'its folder stl10_binary, with the files train_X\.bin, train_y\.bin, got',
    ):
        STL10Dataset(official)
    for content in (b'', bytes(100)):
        (official / 'stl10_binary' / 'unlabeled_X.bin').write_bytes(content)
        with pytest.raises(ValueError, match=rf'a multiple of 27648 bytes .*got {len(content)}'):
            STL10Dataset(official, split='unlabeled')
