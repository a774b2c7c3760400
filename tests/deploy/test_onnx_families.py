"""Each family in onnxruntime predicts what its own code predicts in PyTorch."""

import pytest
import torch
from cli.test_detector_families import (
    cascade_rcnn,
    dino,
    faster_rcnn,
    fcos,
    gfl,
    mask_rcnn,
    one_stage,
    reppoints,
    retinanet,
    rtmdet,
)
from mmdet.structures import DetDataSample
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample

from mmkd.deploy.graph import RawGraph, UnsupportedModelError, graph_of
from mmkd.deploy.images import InputFormat
from mmkd.deploy.proof import prove
from mmkd.deploy.session import OnnxFile
from mmkd.deploy.tracing import write_onnx
from mmkd.models.building import build_model

pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')

SIZE = (160, 192)  # the coarsest map has more than one cell, which group normalization needs
FORM = InputFormat(SIZE, 3, 'uint8', True, False, (0.0,) * 3, (1.0,) * 3, (0, 0, 0))


def atss(width):
    return one_stage('mmdet::atss/atss_r50_fpn_1x_coco.py', width)


def yolox(width):
    return {
        'cfg_path': 'mmdet::yolox/yolox_nano_8xb8-300e_coco.py',
        'backbone': {'widen_factor': 0.125, 'deepen_factor': 0.33},
        'neck': {'in_channels': [32, 64, 128], 'out_channels': 32, 'num_csp_blocks': 1},
        'bbox_head': {'num_classes': 3, 'in_channels': 32, 'feat_channels': 32},
        'test_cfg': {'score_thr': 0.0},
    }


DETECTORS = [atss, faster_rcnn, fcos, gfl, mask_rcnn, retinanet, rtmdet, yolox]
CLASSIFIERS = {
    'resnet': {
        'cfg_path': 'mmpretrain::resnet/resnet18_8xb16_cifar10.py',
        'backbone': {'base_channels': 8},
        'head': {'in_channels': 64},
    },
    'mobilenet_v2': {'cfg_path': 'mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py'},
    'mobilenet_v3': {'cfg_path': 'mmpretrain::mobilenet_v3/mobilenet-v3-small_8xb128_in1k.py'},
    'deit': {
        'cfg_path': 'mmpretrain::deit/deit-tiny_4xb256_in1k.py',
        'backbone': {
            'img_size': SIZE,
            'arch': {
                '_delete_': True,
                'embed_dims': 24,
                'num_layers': 2,
                'num_heads': 2,
                'feedforward_channels': 48,
            },
        },
        'head': {'in_channels': 24},
    },
}


def built(config, scope):
    init_default_scope(scope)
    torch.manual_seed(0)
    model = build_model(config)
    model.init_weights()
    for name, parameter in model.named_parameters():
        if ('cls' in name or name.startswith('head')) and parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1)  # scores far from one another
    if hasattr(model, 'bbox_head'):
        head = model.bbox_head
        model.backbone, model.neck = Pyramid(head.in_channels, head.prior_generator.strides), None
        # Statistics of images, so that no activation dies out.
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = None  # the mean over all batches, of which there is one
        data = torch.stack([sample['inputs'] for sample in samples(DetDataSample)]).float()
        with torch.no_grad():
            model.train().bbox_head(model.extract_feat(data))
    return model.eval()


def samples(kind):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (3, 3, *SIZE), generator=generator, dtype=torch.uint8)
    return [{'inputs': image, 'data_samples': kind()} for image in images]


def swaps(model):
    """The images are RGB, whatever the preprocessor calls them."""
    preprocessor = model.data_preprocessor
    return bool(
        getattr(preprocessor, '_channel_conversion', False)
        or getattr(preprocessor, 'to_rgb', False)
    )


def proof_of(model, kind, path, raw=False):
    graph = graph_of(model, SIZE, 'uint8', swaps(model), raw)
    traced = RawGraph(graph) if raw else graph
    image = torch.zeros(2, 3, *SIZE, dtype=torch.uint8)
    with torch.no_grad():
        names = tuple(f'o{i}' for i in range(len(traced(image)))) if raw else graph.outputs
    info = {'task': '', 'raw': raw, 'format': FORM.as_info()}
    write_onnx(traced, image, names, info, path)
    return prove(OnnxFile(path), model, traced, samples(kind), raw)


class Eager:
    """A graph in PyTorch with the interface of an ONNX file."""

    format = FORM

    def __init__(self, graph):
        self.graph = graph

    def __call__(self, images):
        with torch.no_grad():
            outputs = self.graph(torch.from_numpy(images))
        return {
            name: values.numpy() for name, values in zip(self.graph.outputs, outputs, strict=True)
        }


class Pyramid(torch.nn.Module):
    """In place of backbone and neck, whose trace takes most of the time."""

    def __init__(self, channels, strides):
        super().__init__()
        self.levels = torch.nn.ModuleList(
            torch.nn.Conv2d(3, channels, 3, stride, padding=1) for stride in strides
        )

    def forward(self, image):
        return tuple(level(image).relu() for level in self.levels)


@pytest.mark.parametrize('family', DETECTORS)
def test_graph_predicts_what_the_model_predicts(family):
    model = built(family(8), 'mmdet')
    graph = graph_of(model, SIZE, 'uint8', swaps(model))
    proof = prove(Eager(graph), model, graph, samples(DetDataSample), raw=False)
    assert proof['number of boxes'] >= 40
    assert proof['number of unmatched boxes'] == 0
    assert proof['largest difference of boxes (pixels)'] < 1e-3
    assert proof['largest difference of scores'] < 1e-6


def test_detector_in_onnx(tmp_path):
    proof = proof_of(built(yolox(8), 'mmdet'), DetDataSample, tmp_path / 'a.onnx')
    assert proof['number of boxes'] >= 40
    assert proof['largest difference of boxes (pixels)'] < 0.01
    assert proof['largest difference of scores'] < 1e-4


def test_classifier_in_onnx(tmp_path):
    proof = proof_of(built(CLASSIFIERS['resnet'], 'mmpretrain'), DataSample, tmp_path / 'a.onnx')
    assert proof['largest difference of probabilities'] < 1e-5


@pytest.mark.parametrize('name', CLASSIFIERS)
def test_graph_of_a_classifier_predicts_what_it_predicts(name):
    model = built(CLASSIFIERS[name], 'mmpretrain')
    graph = graph_of(model, SIZE, 'uint8', swaps(model))
    proof = prove(Eager(graph), model, graph, samples(DataSample), raw=False)
    assert proof['largest difference of probabilities'] < 1e-6


def test_raw_outputs(tmp_path):
    proof = proof_of(built(yolox(8), 'mmdet'), DetDataSample, tmp_path / 'a.onnx', raw=True)
    assert proof['largest relative difference of outputs'] < 1e-5


@pytest.mark.parametrize(
    ('family', 'name'),
    [
        (cascade_rcnn, r'CascadeRCNN \(CascadeRoIHead\)'),
        (dino, r'DINO \(DINOHead\)'),
        (reppoints, r'RepPointsDetector \(RepPointsHead\)'),
    ],
)
def test_family_without_a_graph_is_named(family, name):
    init_default_scope('mmdet')
    model = build_model(family(8))
    with pytest.raises(UnsupportedModelError, match=f'got {name}'):
        graph_of(model, SIZE, 'uint8', False)


def test_raw_of_two_stages_is_refused():
    graph = graph_of(built(faster_rcnn(8), 'mmdet'), SIZE, 'uint8', False)
    with pytest.raises(UnsupportedModelError, match='raw: expected a model of one stage'):
        RawGraph(graph)(torch.zeros(1, 3, *SIZE, dtype=torch.uint8))


def test_soft_nms_is_refused():
    config = retinanet(8)
    config['test_cfg'] = {**config['test_cfg'], 'nms': {'type': 'soft_nms', 'iou_threshold': 0.5}}
    with pytest.raises(UnsupportedModelError, match=r'test_cfg.nms: .* got soft_nms'):
        graph_of(built(config, 'mmdet'), SIZE, 'uint8', False)
