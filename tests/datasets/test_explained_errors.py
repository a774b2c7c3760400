"""Unreadable images. tests/hooks/test_data_check.py tests empty data sets."""

import re

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile

from mmkd.datasets.explained_errors import explain_unreadable_images


def load(path):
    return LoadImageFromFile()({'img_path': str(path)})


def test_an_unreadable_image_is_named(tmp_path):
    path = tmp_path / 'empty.png'
    path.touch()
    message = re.escape(f'image: expected a picture in {path} (0 bytes): ')
    with explain_unreadable_images(), pytest.raises(ValueError, match=message):
        load(path)
    with explain_unreadable_images(), pytest.raises(FileNotFoundError):
        load(tmp_path / 'missing.png')


def test_a_picture_is_read_and_the_stock_transform_returns(tmp_path):
    stock = LoadImageFromFile.transform
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((4, 6, 3), np.uint8))
    with explain_unreadable_images():
        assert load(tmp_path / 'a.png')['img_shape'] == (4, 6)
    assert LoadImageFromFile.transform is stock
