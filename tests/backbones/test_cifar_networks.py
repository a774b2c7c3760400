"""The CIFAR networks against the published ones: tensors, counts, maps, values and training."""

import math

import pytest
import torch
from published_cifar import (
    PUBLISHED,
    cifar_model,
    digest,
    public_state_dict,
    published_logits,
    randomize,
)
from torch import nn
from torch.nn import functional as F

from mmkd.backbones import (
    CIFARVGG,
    CIFARMobileNetV2,
    CIFARResNet,
    CIFARResNet50,
    CIFARShuffleNetV1,
    CIFARShuffleNetV2,
    CIFARWideResNet,
)
from mmkd.registry import MODELS

# A network of each class, and channels and side of all its maps.
MAPS = {
    'resnet8': [(16, 32), (32, 16), (64, 8)],
    'resnet8x4': [(64, 32), (128, 16), (256, 8)],
    'resnet50': [(256, 32), (512, 16), (1024, 8), (2048, 4)],
    'wrn16_2': [(32, 32), (64, 16), (128, 8)],
    'vgg8': [(64, 32), (128, 16), (256, 8), (512, 4), (512, 4)],
    'mobilenetv2_half': [
        (8, 16), (12, 16), (16, 8), (32, 4), (48, 4), (80, 2), (160, 2), (1280, 2),
    ],
    'shufflenetv1': [(240, 16), (480, 8), (960, 4)],
    'shufflenetv2': [(116, 16), (232, 8), (464, 4), (1024, 4)],
}  # fmt: skip


def all_maps(name):
    """The network with every map returned."""
    return cifar_model(name, backbone=dict(out_indices=range(len(MAPS[name]))))


@pytest.mark.parametrize('name', PUBLISHED)
def test_tensors_are_those_of_the_public_checkpoint(name):
    model, published = cifar_model(name), PUBLISHED[name]
    state_dict = public_state_dict(name, model)
    assert len(state_dict) == published.num_tensors
    assert digest(state_dict) == published.digest
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == published.num_parameters
    if published.millions is not None:
        assert abs(count / 1e6 - published.millions) < 0.01  # some tables round, others cut
    assert model.head.in_channels == model.backbone.out_channels
    assert model.head.num_classes == 100


# Beside those: more blocks a stage, more convolutions, and a shortcut that keeps the width.
@pytest.mark.parametrize('name', [*MAPS, 'resnet20', 'vgg13', 'wrn40_1'])
def test_logits_are_those_of_an_independent_forward(name):
    torch.manual_seed(0)
    model = cifar_model(name).double().eval()
    randomize(model)
    x = 100 * torch.randn(1, 3, 32, 32)  # beyond 6, where ReLU6 would saturate
    # In float64 the two agree to rounding, so that no difference can hide.
    expected = published_logits(name, public_state_dict(name, model), x.double())
    with torch.no_grad():
        torch.testing.assert_close(model(x.double()), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('name', MAPS)
def test_maps_of_all_stages(name):
    backbone = all_maps(name).backbone.to('meta')
    maps = backbone(torch.empty(2, 3, 32, 32, device='meta'))
    assert [tuple(x.shape) for x in maps] == [(2, c, size, size) for c, size in MAPS[name]]
    assert backbone.out_channels == MAPS[name][-1][0]


@pytest.mark.parametrize('name', MAPS)
def test_default_is_the_last_map_alone(name):
    torch.manual_seed(0)
    every, last = all_maps(name).eval(), cifar_model(name).eval()
    last.load_state_dict(every.state_dict())
    x = torch.randn(1, 3, 16, 16)
    maps = last.backbone(x)
    assert len(maps) == 1
    assert torch.equal(maps[0], every.backbone(x)[-1])
    assert maps[0].min() == 0  # after a ReLU
    assert last.backbone.out_channels == MAPS[name][-1][0]


def test_maps_of_chosen_stages():
    torch.manual_seed(0)
    every = CIFARResNet(8, out_indices=(0, 1, 2)).eval()
    chosen = CIFARResNet(8, out_indices=(0, 1)).eval()
    chosen.load_state_dict(every.state_dict())
    x = torch.randn(1, 3, 32, 32)
    maps = chosen(x)
    assert len(maps) == 2
    assert all(torch.equal(a, b) for a, b in zip(maps, every(x), strict=False))
    assert chosen.out_channels == 32


@pytest.mark.parametrize('name', [*MAPS, 'vgg13'])
def test_a_recorded_output_is_not_changed_afterwards(name):
    """Recorders hold what modules return, e.g. maps before their ReLU."""
    model = cifar_model(name)
    recorded = []
    for module in model.backbone.modules():
        module.register_forward_hook(
            lambda *call: (
                recorded.append((call[-1], call[-1].clone()))
                if isinstance(call[-1], torch.Tensor)
                else None
            )
        )
    with torch.no_grad():
        model.backbone(torch.randn(2, 3, 16, 16))
    assert len(recorded) > 10
    assert all(torch.equal(output, copy) for output, copy in recorded)


def test_modules_that_end_before_their_relu():
    torch.manual_seed(0)
    for name, module, index in (('vgg8', 'block1', 1), ('vgg8', 'block4', 4)):
        model = all_maps(name).eval()
        recorded = []
        model.backbone.get_submodule(module).register_forward_hook(
            lambda *call, recorded=recorded: recorded.append(call[-1])
        )
        maps = model.backbone(torch.randn(2, 3, 32, 32))
        assert recorded[0].min() < 0
        assert torch.equal(maps[index], recorded[0].relu())


def test_last_map_of_a_wide_resnet_is_normalized_and_the_others_are_sums():
    torch.manual_seed(0)
    backbone = CIFARWideResNet(16, 1, out_indices=(0, 1, 2)).eval()
    recorded = {}
    for name in ('block1', 'block2', 'block3'):
        backbone.get_submodule(name).register_forward_hook(
            lambda *call, name=name: recorded.update({name: call[-1]})
        )
    maps = backbone(torch.randn(2, 3, 32, 32))
    assert torch.equal(maps[0], recorded['block1'])
    assert torch.equal(maps[1], recorded['block2'])
    assert maps[1].min() < 0
    assert torch.equal(maps[2], backbone.bn1(recorded['block3']).relu())


@pytest.mark.parametrize('name', MAPS)
def test_every_parameter_is_trained_down_the_gradient(name):
    torch.manual_seed(0)
    model = cifar_model(name).double()
    x, labels = torch.randn(4, 3, 16, 16).double(), torch.arange(4)
    loss = F.cross_entropy(model(x), labels)
    loss.backward()
    gradients = {key: p.grad for key, p in model.named_parameters()}
    # The next normalization removes a bias that no ReLU lies behind.
    without = {key for key, gradient in gradients.items() if gradient.abs().max() < 1e-12}
    assert all(key.endswith('.bias') for key in without), without
    norm = math.sqrt(sum(gradient.square().sum() for gradient in gradients.values()))
    step = 1e-7
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= step / norm * parameter.grad
        lower = F.cross_entropy(model(x), labels)
    assert (loss - lower).item() == pytest.approx(step * norm, rel=0.01)


@pytest.mark.parametrize('name', [name for name in MAPS if not name.startswith('shuffle')])
def test_convolutions_are_initialized_as_published(name):
    """Normal with variance 2 / (area of the kernel x output channels)."""
    torch.manual_seed(0)
    model = cifar_model(name)
    model.init_weights()
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    scaled = [
        conv.weight.flatten() * math.sqrt(conv.kernel_size[0] ** 2 * conv.out_channels / 2)
        for conv in convs
    ]
    for weights in (torch.cat(scaled), scaled[0]):
        standard_error = 1 / math.sqrt(weights.numel())
        assert abs(weights.mean()) < 4 * standard_error
        assert abs(weights.std() - 1) < 4 * standard_error
    assert torch.cat(scaled).abs().max() > 3  # not uniform
    assert all(conv.bias is None or not conv.bias.any() for conv in convs)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all((norm.weight == 1).all() and not norm.bias.any() for norm in norms)


@pytest.mark.parametrize('name', ['shufflenetv1', 'shufflenetv2'])
def test_shufflenets_keep_the_initialization_of_pytorch(name):
    model = cifar_model(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.init_weights()
    after = model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    for conv in model.modules():
        if isinstance(conv, nn.Conv2d):
            fan_in = conv.weight[0].numel()
            assert conv.weight.abs().max() <= 1 / math.sqrt(fan_in)


@pytest.mark.parametrize('name', ['resnet8', 'shufflenetv2', 'wrn16_2', 'vgg8', 'mobilenetv2_half'])
def test_classifiers_are_initialized_as_published(name):
    torch.manual_seed(0)
    model = cifar_model(name)
    model.init_weights()
    weight, bias = model.head.fc.weight, model.head.fc.bias
    if name in ('vgg8', 'mobilenetv2_half'):
        assert abs(weight.std() / 0.01 - 1) < 0.02
        assert not bias.any()
        return
    bound = 1 / math.sqrt(weight.shape[1])
    assert 0.99 * bound < weight.abs().max() <= bound
    assert bias.any() != (name == 'wrn16_2')


def test_widths_of_mobilenet_v2():
    """A narrow network keeps 1280 channels at its end; a wider one has more."""
    backbone = CIFARMobileNetV2(widen_factor=1)
    assert backbone.conv1[0].out_channels == 32
    assert backbone.blocks[6][0].conv[6].weight.shape == (320, 960, 1, 1)
    assert backbone.out_channels == 1280
    assert CIFARMobileNetV2(widen_factor=1.5).out_channels == 1920


def test_registered_in_the_scope_of_mmkd():
    backbone = MODELS.build({'type': 'mmkd.CIFARResNet', 'depth': 8, 'init_cfg': None})
    assert isinstance(backbone, CIFARResNet)
    before = backbone.conv1.weight.clone()
    backbone.init_weights()
    assert torch.equal(backbone.conv1.weight, before)


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: CIFARResNet(18), r'depth: expected 6 n \+ 2 with n >= 1, got 18'),
        (lambda: CIFARResNet(2), r'depth: expected 6 n \+ 2 with n >= 1, got 2'),
        (lambda: CIFARResNet(20.0), r'depth: expected a positive integer, got 20\.0'),
        (lambda: CIFARResNet(8, (16, 32, 64)), r'widths: expected .* 3 stages, got \(16, 32, 64\)'),
        (lambda: CIFARWideResNet(38, 2), r'depth: expected 6 n \+ 4 with n >= 1, got 38'),
        (lambda: CIFARWideResNet(16, 0), r'widen_factor: expected a positive integer, got 0'),
        (lambda: CIFARVGG(11), r'depth: expected one of \(8, 13\), got 11'),
        (lambda: CIFARMobileNetV2(0.01), r'widen_factor: .* >= 0\.0625, got 0\.01'),
        (lambda: CIFARMobileNetV2(float('nan')), r'widen_factor: expected a finite .* got nan'),
    ],
)
def test_arguments_out_of_range(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize('out_indices', [(), (4,), (-1,), (1, 0), (1, 1), (0, 1, 9)])
def test_out_indices_are_ascending_stages(out_indices):
    for make in (CIFARResNet50, CIFARShuffleNetV2):
        with pytest.raises(ValueError, match=r'out_indices: expected ascending .* stages 0 to 3'):
            make(out_indices=out_indices)
    with pytest.raises(ValueError, match='stages 0 to 2'):
        CIFARShuffleNetV1(out_indices=(3,))
