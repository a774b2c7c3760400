"""Renormalize against the teacher's own preprocessor on the raw images."""

import itertools

import pytest
import torch
from mmdet.models import DetDataPreprocessor
from mmdet.structures import DetDataSample
from mmengine.model import BaseDataPreprocessor, ImgDataPreprocessor
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.structures import DataSample

from mmkd.teachers.renormalize import Renormalize

IMAGENET = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375]}
CAFFE = {'mean': [103.53, 116.28, 123.675], 'std': [1.0, 1.0, 1.0]}
GRAY = {'mean': [127.5], 'std': [64.0]}
NONE: dict = {}
DETECTION = {
    'imagenet rgb': {**IMAGENET, 'bgr_to_rgb': True},
    'caffe bgr': CAFFE,
    'one value': GRAY,
    'padded': {**IMAGENET, 'bgr_to_rgb': True, 'pad_value': 114},
    'other way': {**CAFFE, 'rgb_to_bgr': True},
    'raw': NONE,
    'raw swapped': {'bgr_to_rgb': True, 'pad_value': 7.5},
}
CLASSIFICATION = {
    'imagenet rgb': {**IMAGENET, 'to_rgb': True},
    'caffe bgr': CAFFE,
    'raw': {'pad_value': 3},
}
SIZES = [(40, 64), (64, 33), (64, 64)]


def raw_images():
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in SIZES
    ]


def batch_of(preprocessor, sample_type, images):
    samples = [sample_type(metainfo={'img_shape': image.shape[-2:]}) for image in images]
    batch = preprocessor({'inputs': images, 'data_samples': samples}, training=True)
    return batch['inputs'], batch['data_samples']


def check_is_the_teachers_own(student, teacher, sample_type, images):
    batch, samples = batch_of(student, sample_type, images)
    expected, _ = batch_of(teacher, sample_type, images)
    before = batch.clone()
    # Two roundings of values up to 255.
    torch.testing.assert_close(
        Renormalize(student, teacher)(batch, samples), expected, atol=1e-4, rtol=1e-6
    )
    assert torch.equal(batch, before)


@pytest.mark.parametrize(('student', 'teacher'), [*itertools.permutations(DETECTION, 2)])
def test_detection(student, teacher):
    check_is_the_teachers_own(
        DetDataPreprocessor(**DETECTION[student], pad_size_divisor=32),
        DetDataPreprocessor(**DETECTION[teacher], pad_size_divisor=32),
        DetDataSample,
        raw_images(),
    )


@pytest.mark.parametrize(('student', 'teacher'), [*itertools.permutations(CLASSIFICATION, 2)])
@pytest.mark.parametrize('stacked', [False, True])
def test_classification(student, teacher, stacked):
    images = torch.stack([image[:, :33, :33] for image in raw_images()])
    check_is_the_teachers_own(
        ClsDataPreprocessor(**CLASSIFICATION[student], pad_size_divisor=16),
        ClsDataPreprocessor(**CLASSIFICATION[teacher], pad_size_divisor=16),
        DataSample,
        images if stacked else [*images],
    )


def test_between_the_packages():
    check_is_the_teachers_own(
        DetDataPreprocessor(**DETECTION['caffe bgr']),
        ClsDataPreprocessor(**CLASSIFICATION['imagenet rgb']),
        DataSample,
        raw_images(),
    )


@pytest.mark.parametrize('name', DETECTION)
def test_same_preprocessor_returns_the_same_tensor(name):
    first, second = (DetDataPreprocessor(**DETECTION[name]) for _ in range(2))
    batch = torch.rand(2, 3, 8, 8)
    assert Renormalize(first, second)(batch) is batch


def test_equivalent_preprocessors_return_the_same_tensor():
    # Both swap the channels of what the file holds, and one value counts for all channels.
    first = ImgDataPreprocessor(**GRAY, bgr_to_rgb=True)
    second = ClsDataPreprocessor(mean=[127.5] * 3, std=[64.0] * 3, to_rgb=True)
    batch = torch.rand(2, 3, 8, 8)
    assert Renormalize(first, second)(batch) is batch


def test_preprocessors_that_only_stack_return_the_same_tensor():
    batch = torch.rand(2, 3, 8, 8)
    assert Renormalize(None, BaseDataPreprocessor())(batch) is batch


def test_without_samples_everything_is_image():
    preprocessor = DetDataPreprocessor(**DETECTION['padded'])
    converted = Renormalize(None, preprocessor)(torch.zeros(1, 3, 4, 4))
    expected = -torch.tensor(IMAGENET['mean']) / torch.tensor(IMAGENET['std'])
    torch.testing.assert_close(converted, expected.view(1, 3, 1, 1).expand(1, 3, 4, 4))


def test_needs_images_of_three_channels():
    renormalize = Renormalize(None, DetDataPreprocessor(**DETECTION['caffe bgr']))
    with pytest.raises(ValueError, match=r'images \(B, 3, H, W\), got \(2, 1, 8, 8\)'):
        renormalize(torch.zeros(2, 1, 8, 8))
