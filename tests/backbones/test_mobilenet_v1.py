"""MobileNetV1 has the published size."""

import pytest
import torch
from torch import nn

from mmkd.backbones import MobileNetV1


# Millions of parameters with the 1000-way classifier: the paper's Table 6, to its precision.
@pytest.mark.parametrize(('widen_factor', 'millions'), [(1.0, 4.2), (0.75, 2.6), (0.5, 1.3)])
def test_parameters_as_published(widen_factor, millions):
    backbone = MobileNetV1(widen_factor)
    classifier = nn.Linear(backbone.out_channels, 1000)
    count = sum(p.numel() for module in (backbone, classifier) for p in module.parameters())
    assert round(count / 1e6, 1) == millions


def test_multiply_adds_as_published():
    """569 million for one image of 224 x 224 (Table 8), classifier included."""
    total = 0

    def count(module, inputs, output):
        nonlocal total
        total += module.weight[0].numel() * output.numel()

    backbone = MobileNetV1().eval()
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        (features,) = backbone(torch.zeros(1, 3, 224, 224))
    assert features.shape == (1, 1024, 7, 7)
    assert round((total + 1024 * 1000) / 1e6) == 569


def test_every_parameter_learns():
    backbone = MobileNetV1(0.25)
    backbone.init_weights()
    backbone(torch.randn(2, 3, 64, 64))[0].square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in backbone.parameters())


def test_width_must_be_positive():
    with pytest.raises(ValueError, match='widen_factor: expected a positive number, got 0'):
        MobileNetV1(0)
