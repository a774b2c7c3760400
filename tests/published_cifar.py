"""The public RepDistiller networks: names of their tensors, and what they compute from these."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.registry import DefaultScope
from torch import nn
from torch.nn import functional as F

from mmkd.models.building import build_model

MODEL_FILES = Path(__file__).resolve().parents[1] / 'configs/_base_/models/cifar'


class Published(NamedTuple):
    """Facts of a network of 100 classes.

    ``digest`` is of the sorted lines "name (shape)" of its state dict; ``millions`` of parameters
    are those of the tables of the field, as far as they list the network.
    """

    classifier: str
    num_tensors: int
    num_parameters: int
    digest: str
    millions: float | None = None


PUBLISHED = {
    'resnet8': Published('fc', 56, 83892, '99cb0c0b2ea3c613'),
    'resnet14': Published('fc', 92, 181108, '629933907d5744ff'),
    'resnet20': Published('fc', 128, 278324, '0386434ca6f34c26', 0.28),
    'resnet32': Published('fc', 200, 472756, '9e5592f61f0020a8', 0.47),
    'resnet44': Published('fc', 272, 667188, 'df3dce284c7a26b4'),
    'resnet56': Published('fc', 344, 861620, 'fa692cabb2e3a217', 0.86),
    'resnet110': Published('fc', 668, 1736564, '9ca5a9542fb3a343', 1.74),
    'resnet8x4': Published('fc', 62, 1233540, 'b2ead61a142ef3af', 1.23),
    'resnet32x4': Published('fc', 206, 7433860, '99154b2aea1aeb59', 7.43),
    'wrn16_2': Published('fc', 83, 703284, '2266f04469bf5dd9', 0.70),
    'wrn40_1': Published('fc', 226, 569780, '01abc5646d8c075c', 0.57),
    'wrn40_2': Published('fc', 227, 2255156, '595ec0db20d1ca1c', 2.26),
    'vgg8': Published('classifier', 37, 3965028, '7f85b8479109415f', 3.97),
    'vgg13': Published('classifier', 72, 9462180, '5778ceb5832ef6a7', 9.46),
    'mobilenetv2_half': Published('classifier.0', 320, 812836, '54501c9a7e317631', 0.81),
    'shufflenetv1': Published('linear', 296, 949258, '1282e767b3e9c6cd', 0.95),
    'shufflenetv2': Published('linear', 338, 1355528, '9b7750ae03289b13', 1.36),
    'resnet50': Published('linear', 320, 23705252, 'd5367c1bcc2c22ea', 23.71),
}


def cifar_model(name, **overrides):
    """The model of a file of ``configs/_base_/models/cifar``, initialized by PyTorch."""
    path = str(MODEL_FILES / f'{name}.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return build_model(dict(cfg_path=path, **overrides))


def randomize(model):
    """Give every tensor a value of its own, so that no two roles of one shape are confused."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.3)


def public_state_dict(name, model):
    """The state dict of an MMPretrain classifier, under the public names."""
    prefixes = {'backbone.': '', 'head.fc.': f'{PUBLISHED[name].classifier}.'}
    return {
        public + key.removeprefix(prefix): value
        for key, value in model.state_dict().items()
        for prefix, public in prefixes.items()
        if key.startswith(prefix)
    }


def digest(state_dict):
    lines = sorted(f'{name} {tuple(value.shape)}' for name, value in state_dict.items())
    return hashlib.sha256('\n'.join(lines).encode()).hexdigest()[:16]


class Forward:
    """Convolutions and norms by the names of a state dict, in evaluation mode."""

    def __init__(self, state_dict):
        self.tensors = state_dict

    def __contains__(self, name):
        return f'{name}.weight' in self.tensors

    def conv(self, name, x, stride=1, groups=1):
        weight = self.tensors[f'{name}.weight']
        return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, groups)

    def bn(self, name, x):
        names = ('running_mean', 'running_var', 'weight', 'bias')
        mean, var, weight, bias = (self.tensors[f'{name}.{n}'][:, None, None] for n in names)
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def classify(self, name, x):
        """Global average pooling and the last layer."""
        return x.mean((2, 3)) @ self.tensors[f'{name}.weight'].T + self.tensors[f'{name}.bias']

    def count(self, prefix):
        """Number of children ``prefix.0``, ``prefix.1``, ..."""
        start = f'{prefix}.'
        return len({n[len(start) :].split('.')[0] for n in self.tensors if n.startswith(start)})


def resnet(state_dict, x):
    net = Forward(state_dict)
    x = net.bn('bn1', net.conv('conv1', x)).clamp(min=0)
    for layer, first_stride in (('layer1', 1), ('layer2', 2), ('layer3', 2)):
        for i in range(net.count(layer)):
            block, stride = f'{layer}.{i}', first_stride if i == 0 else 1
            y = net.bn(f'{block}.bn1', net.conv(f'{block}.conv1', x, stride)).clamp(min=0)
            y = net.bn(f'{block}.bn2', net.conv(f'{block}.conv2', y))
            if f'{block}.downsample.0' in net:
                x = net.conv(f'{block}.downsample.0', x, stride)
                x = net.bn(f'{block}.downsample.1', x)
            x = (x + y).clamp(min=0)
    return net.classify('fc', x)


def wide_resnet(state_dict, x):
    net = Forward(state_dict)
    x = net.conv('conv1', x)
    for block, first_stride in (('block1', 1), ('block2', 2), ('block3', 2)):
        for i in range(net.count(f'{block}.layer')):
            unit, stride = f'{block}.layer.{i}', first_stride if i == 0 else 1
            active = net.bn(f'{unit}.bn1', x).clamp(min=0)
            y = net.conv(f'{unit}.conv1', active, stride)
            y = net.conv(f'{unit}.conv2', net.bn(f'{unit}.bn2', y).clamp(min=0))
            if f'{unit}.convShortcut' in net:
                x = net.conv(f'{unit}.convShortcut', active, stride)
            x = x + y
    return net.classify('fc', net.bn('bn1', x).clamp(min=0))


def mobilenet_v2(state_dict, x):
    net = Forward(state_dict)
    x = net.bn('conv1.1', net.conv('conv1.0', x, stride=2)).clamp(min=0)
    for stage, first_stride in enumerate((1, 1, 2, 2, 1, 2, 1)):
        for i in range(net.count(f'blocks.{stage}')):
            conv, stride = f'blocks.{stage}.{i}.conv', first_stride if i == 0 else 1
            y = net.bn(f'{conv}.1', net.conv(f'{conv}.0', x)).clamp(min=0)
            y = net.conv(f'{conv}.3', y, stride, groups=y.shape[1])
            y = net.bn(f'{conv}.4', y).clamp(min=0)
            y = net.bn(f'{conv}.7', net.conv(f'{conv}.6', y))
            x = x + y if x.shape == y.shape else y
    return net.classify('classifier.0', net.bn('conv2.1', net.conv('conv2.0', x)).clamp(min=0))


def shufflenet_v1(state_dict, x):
    net = Forward(state_dict)
    x = net.bn('bn1', net.conv('conv1', x)).clamp(min=0)
    for layer in ('layer1', 'layer2', 'layer3'):
        for i in range(net.count(layer)):
            unit, groups = f'{layer}.{i}', 1 if x.shape[1] == 24 else 3
            y = net.bn(f'{unit}.bn1', net.conv(f'{unit}.conv1', x, groups=groups)).clamp(min=0)
            # Channel k of every group, then channel k + 1 of every group, ...
            y = y[:, torch.arange(y.shape[1]).reshape(groups, -1).T.flatten()]
            y = net.conv(f'{unit}.conv2', y, 2 if i == 0 else 1, groups=y.shape[1])
            y = net.bn(f'{unit}.bn2', y).clamp(min=0)
            y = net.bn(f'{unit}.bn3', net.conv(f'{unit}.conv3', y, groups=3))
            if i == 0:
                # Windows at the border count the padding's zeros.
                pooled = F.unfold(x, 3, padding=1, stride=2).unflatten(1, (-1, 9)).mean(2)
                x = torch.cat([y, pooled.unflatten(2, y.shape[2:])], dim=1)
            else:
                x = x + y
            x = x.clamp(min=0)
    return net.classify('linear', x)


def resnet50(state_dict, x):
    """MMPretrain's, whose shortcuts have another name."""
    from mmpretrain.models import ResNet_CIFAR

    net = Forward(state_dict)
    backbone = ResNet_CIFAR(50).to(x.dtype)
    backbone.eval()
    renamed = {name.replace('shortcut', 'downsample'): t for name, t in state_dict.items()}
    backbone.load_state_dict({n: t for n, t in renamed.items() if not n.startswith('linear.')})
    return net.classify('linear', backbone(x)[0])


def vgg(state_dict, x):
    """Torchvision's layers, in their order."""
    from torchvision.models.vgg import make_layers

    convs = 2 if 'block0.3.weight' in state_dict else 1
    widths = [[width] * convs for width in (64, 128, 256, 512, 512)]
    layers = [*widths[0], 'M', *widths[1], 'M', *widths[2], 'M', *widths[3], *widths[4]]
    features = make_layers(layers, batch_norm=True).to(x.dtype).eval()
    ours = [tensor for name, tensor in state_dict.items() if not name.startswith('classifier')]
    features.load_state_dict(dict(zip(features.state_dict(), ours, strict=True)))
    return Forward(state_dict).classify('classifier', features(x))


def shufflenet_v2(state_dict, x):
    """Torchvision's units between the public stem and last convolution."""
    from torchvision.models.shufflenetv2 import InvertedResidual

    net = Forward(state_dict)
    x = net.bn('bn1', net.conv('conv1', x)).clamp(min=0)
    in_channels = 24
    for layer, channels in (('layer1', 116), ('layer2', 232), ('layer3', 464)):
        for i in range(net.count(layer)):
            unit = InvertedResidual(in_channels, channels, 2 if i == 0 else 1).to(x.dtype).eval()
            start = f'{layer}.{i}.'
            ours = [tensor for name, tensor in state_dict.items() if name.startswith(start)]
            unit.load_state_dict(dict(zip(unit.state_dict(), ours, strict=True)))
            x, in_channels = unit(x), channels
    return net.classify('linear', net.bn('bn2', net.conv('conv2', x)).clamp(min=0))


def published_logits(name, state_dict, x):
    """What the public network computes, in evaluation mode, from its state dict."""
    # `resnet` is a prefix of `resnet50` and comes after it.
    families = dict(
        resnet50=resnet50, resnet=resnet, wrn=wide_resnet, vgg=vgg, mobilenetv2=mobilenet_v2,
        shufflenetv1=shufflenet_v1, shufflenetv2=shufflenet_v2,
    )  # fmt: skip
    forward = next(f for family, f in families.items() if name.startswith(family))
    with torch.no_grad():
        return forward(state_dict, x)
