"""How high PCKA reads for unrelated maps, and from where on the loss warns."""

import warnings

import pytest
import torch

from mmkd.functional import pcka
from mmkd.losses import PCKALoss


def noise(*shape):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for _ in range(2)]


@pytest.mark.parametrize(
    ('size', 'patch_size', 'patches', 'expected'),
    [((100, 168), 16, 77, 0.83), ((25, 42), 16, 6, 0.98), ((20, 20), 4, 25, 0.56)],
)
def test_figures_of_the_documentation(size, patch_size, patches, expected):
    maps = noise(2, 32, *size)
    features = 2 * patch_size**2
    biased, unbiased = (pcka(*maps, patch_size, unbiased=flag).item() for flag in (False, True))
    assert biased == pytest.approx(expected, abs=0.02)
    assert biased == pytest.approx(features / (features + patches), abs=0.05)
    assert abs(unbiased) < 0.05


@pytest.mark.parametrize(
    ('arguments', 'shape', 'warns'),
    [
        ({}, (2, 4, 32, 32), True),  # 4 patches of 512 features
        ({}, (2, 4, 25, 42), False),  # 6 patches, as on COCO: 0.988
        ({'unbiased': True}, (2, 4, 32, 32), False),
        ({'patch_size': 4}, (2, 4, 32, 32), False),
        ({'average': 'batch'}, (2, 64, 32, 32), True),
        ({'average': 'spatial'}, (2, 4, 32, 32), False),
    ],
)
def test_few_patches_warn_once(arguments, shape, warns):
    loss, maps = PCKALoss(**arguments), noise(*shape)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter('always')
        loss(*maps)
        loss(*maps)
    assert len(found) == warns
    if warns:
        assert '4 patches of' in str(found[0].message)
        assert 'unbiased=True' in str(found[0].message)
