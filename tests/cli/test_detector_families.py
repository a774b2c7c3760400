"""A detector of each family: an epoch of distillation, its student exported to MMDetection."""

import functools
import json
import subprocess
import sys

import pytest
import torch

from mmkd.api import running
from mmkd.cli import export_student, train
from mmkd.models.building import build_model
from mmkd.storage.checkpoint import read_checkpoint

pytestmark = pytest.mark.slow

STUDENT_WIDTH, TEACHER_WIDTH = 8, 16  # of the backbones; pyramids have four times as many channels
UNSURE = {'score_thr': 0.0, 'max_per_img': 20}  # what one epoch teaches is below every threshold


def resnet_fpn(cfg_path, width):
    """What the detectors on a ResNet-18 with a pyramid have in common."""
    return {
        'cfg_path': cfg_path,
        'backbone': {'depth': 18, 'base_channels': width, 'init_cfg': None},
        'neck': {
            'in_channels': [width, 2 * width, 4 * width, 8 * width],
            'out_channels': 4 * width,
        },
    }


def one_stage(cfg_path, width, **head):
    channels = 4 * width
    return resnet_fpn(cfg_path, width) | {
        'bbox_head': {
            'num_classes': 10,
            'in_channels': channels,
            'feat_channels': channels,
            'stacked_convs': 1,
            **head,
        },
        'test_cfg': UNSURE,
    }


def retinanet(width):
    return one_stage('mmdet::retinanet/retinanet_r50_fpn_2x_coco.py', width)


def fcos(width):
    return one_stage('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_ms-640-800-2x_coco.py', width)


def gfl(width):
    return one_stage('mmdet::gfl/gfl_r50_fpn_1x_coco.py', width)


def reppoints(width):
    cfg_path = 'mmdet::reppoints/reppoints-moment_r50_fpn-gn_head-gn_2x_coco.py'
    return one_stage(cfg_path, width, point_feat_channels=4 * width)


def two_stage(cfg_path, width, num_stages=None, num_classes=10, **roi_head):
    """Proposals and boxes; a cascade has a list of heads, which an index changes one by one."""
    channels = 4 * width
    head = {'num_classes': num_classes, 'in_channels': channels, 'fc_out_channels': channels}
    return resnet_fpn(cfg_path, width) | {
        'rpn_head': {'in_channels': channels, 'feat_channels': channels},
        'roi_head': {
            'bbox_roi_extractor': {'out_channels': channels},
            'bbox_head': {str(i): head for i in range(num_stages)} if num_stages else head,
            **roi_head,
        },
        'train_cfg': {'rpn_proposal': {'max_per_img': 50}},
        'test_cfg': {'rpn': {'max_per_img': 50}, 'rcnn': UNSURE},
    }


def faster_rcnn(width):
    return two_stage('mmdet::faster_rcnn/faster-rcnn_r50_fpn_2x_coco.py', width)


def cascade_rcnn(width):
    return two_stage('mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_20e_coco.py', width, num_stages=3)


def mask_rcnn(width):
    channels = 4 * width
    return two_stage(
        'mmdet::mask_rcnn/mask-rcnn_r50_fpn_2x_coco.py',
        width,
        num_classes=2,
        mask_roi_extractor={'out_channels': channels},
        mask_head={
            'num_classes': 2,
            'in_channels': channels,
            'conv_out_channels': channels,
            'num_convs': 1,
        },
    )


def rtmdet(width):
    channels = 4 * width
    quick = {'norm_cfg': {'momentum': 0.5}}  # two steps are to give statistics worth a test
    return {
        'cfg_path': 'mmdet::rtmdet/rtmdet_l_8xb32-300e_coco.py',
        'backbone': {'deepen_factor': 0.167, 'widen_factor': width / 64, 'init_cfg': None, **quick},
        'neck': {
            'in_channels': [4 * width, 8 * width, 16 * width],
            'out_channels': channels,
            'num_csp_blocks': 1,
            **quick,
        },
        'bbox_head': {
            'num_classes': 10,
            'in_channels': channels,
            'feat_channels': channels,
            **quick,
        },
        'test_cfg': UNSURE,
    }


def dino(width):
    """Of few layers and queries; its decoder encodes positions in 256 channels and no others."""
    return resnet_fpn('mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py', width) | {
        'neck': {'in_channels': [2 * width, 4 * width, 8 * width]},
        'num_queries': 20,
        'encoder': {'num_layers': 1},
        'decoder': {'num_layers': 2},
        'bbox_head': {'num_classes': 10},
        'dn_cfg': {'group_cfg': {'num_dn_queries': 10}},
        'test_cfg': {'max_per_img': 20},
    }


FAMILIES = {
    'RetinaNet': retinanet,
    'FCOS': fcos,
    'GFL': gfl,
    'RepPointsDetector': reppoints,
    'RTMDet': rtmdet,
    'DINO': dino,
    'FasterRCNN': faster_rcnn,
    'CascadeRCNN': cascade_rcnn,
    'MaskRCNN': mask_rcnn,
}


# PCKA on the three finest levels, which the student brings to the teacher's width.
DISTILLER = {
    'losses': {
        'pcka': {
            'type': 'mmkd.PCKALoss',
            'on': 'neck',
            'patch_size': 4,
            'levels': (0, 1, 2),
            'student_connector': {'type': 'mmkd.LevelwiseConv'},
        }
    }
}


def settings(student, teacher):
    """A config's settings: one epoch of two steps on scenes of digits, evaluated at its end."""
    return {
        '_base_': [
            'mmdet::_base_/schedules/schedule_1x.py',
            'mmkd::_base_/datasets/digit_scenes_detection.py',
            'mmkd::_base_/default_runtime.py',
        ],
        'model': {
            'type': 'mmkd.FrozenTeacherDistill',
            'architecture': student,
            'teacher': teacher,
            'distiller': DISTILLER,
        },
        'train_dataloader': {'batch_size': 4, 'dataset': {'num_images': 8, 'image_size': 96}},
        'val_dataloader': {'batch_size': 4, 'dataset': {'num_images': 4, 'image_size': 96}},
        'test_dataloader': {'batch_size': 4, 'dataset': {'num_images': 4, 'image_size': 96}},
        'optim_wrapper': {
            'optimizer': {'_delete_': True, 'type': 'AdamW', 'lr': 1e-3},
            'clip_grad': {'max_norm': 10},
        },
        'param_scheduler': [],
        'train_cfg': {'max_epochs': 1},
        'randomness': {'seed': 0},
    }


def on_masks(settings, folder):
    """The same on pictures whose objects have masks, which digits have not."""
    read = {'type': 'LoadImageFromFile'}
    annotate = {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True}
    resize = {'type': 'Resize', 'scale': (96, 80)}
    meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
    data = {
        '_delete_': True,
        'type': 'CocoDataset',
        'data_root': f'{folder}/',
        'ann_file': 'annotations.json',
        'data_prefix': {'img': 'images/'},
        'metainfo': {'classes': ('disc', 'square')},
        'pipeline': [read, annotate, resize, {'type': 'PackDetInputs'}],
    }
    test_pipeline = [read, resize, {'type': 'PackDetInputs', 'meta_keys': meta_keys}]
    tested = {'dataset': data | {'pipeline': test_pipeline, 'test_mode': True}}
    evaluator = {'metric': ['bbox', 'segm'], 'ann_file': f'{folder}/annotations.json'}
    return settings | {
        'train_dataloader': {'batch_size': 4, 'dataset': data},
        'val_dataloader': tested,
        'test_dataloader': tested,
        'val_evaluator': evaluator,
        'test_evaluator': evaluator,
    }


def write_teacher(config, path):
    """A checkpoint of random weights, of another seed than the runs'."""
    torch.manual_seed(1)
    teacher = build_model(config)
    teacher.init_weights()
    torch.save({'state_dict': teacher.state_dict()}, path)


@pytest.fixture(scope='module')
def run(tmp_path_factory, tiny_coco):
    """Function: the finished runner of a family, trained when first asked for."""
    built = []

    def build(cfg):
        built.append(real_build(cfg))
        return built[-1]

    @functools.cache
    def trained(family):
        folder = tmp_path_factory.mktemp(family)
        student, teacher = FAMILIES[family](STUDENT_WIDTH), FAMILIES[family](TEACHER_WIDTH)
        write_teacher(teacher, folder / 'teacher.pth')
        content = settings(student, teacher | {'checkpoint': f'{folder}/teacher.pth'})
        if family == 'MaskRCNN':
            content = on_masks(content, tiny_coco('disc', 'square'))
        config = folder / 'config.py'
        config.write_text(''.join(f'{key} = {value!r}\n' for key, value in content.items()))
        train.main([str(config), '--work-dir', str(folder)])
        return built[-1]

    real_build = running.build_runner
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, 'build_runner', build)
        yield trained


def image_of(runner):
    return runner.val_dataloader.dataset.get_data_info(0)['img_path']


@pytest.mark.parametrize('family', FAMILIES)
def test_an_epoch_teaches_and_is_evaluated(family, run):
    runner = run(family)
    assert (runner.epoch, runner.iter) == (1, 2)
    scalars = runner.message_hub.log_scalars
    losses = {
        name: torch.tensor(scalar.data[0])
        for name, scalar in scalars.items()
        if name.startswith(('train/student.loss', 'train/distill.loss'))
    }
    assert len(losses) >= 3  # classes, boxes, distillation
    assert all(len(values) == 2 for values in losses.values())
    assert all(values.isfinite().all() for values in losses.values()), losses
    assert (losses['train/distill.loss_pcka'] > 0).all()
    metrics = ('bbox', 'segm') if family == 'MaskRCNN' else ('bbox',)
    for metric in metrics:
        assert 0 <= scalars[f'val/coco/{metric}_mAP'].current() <= 1


@pytest.mark.parametrize('family', FAMILIES)
def test_teacher_is_that_of_its_checkpoint(family, run):
    runner = run(family)
    given = read_checkpoint(f'{runner.work_dir}/teacher.pth')['state_dict']
    torch.testing.assert_close(
        dict(runner.model.teacher.model.state_dict()), dict(given), rtol=0, atol=0
    )


# Run without the registries of mmkd and without MMRazor; `import mmkd` alone gives mmcv-lite its
# operators. An exported config names mmkd for its data and hooks, of which a detector needs none.
PLAIN = """
import json, sys
import mmkd
import torch
from mmengine.config import Config
from mmdet.apis import inference_detector, init_detector

torch.set_num_threads(int(sys.argv[2]))
for name, (config, checkpoint, image) in json.loads(sys.argv[1]).items():
    cfg = Config.fromfile(config, import_custom_modules=False)
    model = init_detector(cfg, checkpoint, palette='random', device='cpu')
    assert type(model).__name__ == name and type(model).__module__.startswith('mmdet.'), name
    state_dict = torch.load(checkpoint, weights_only=True)['state_dict']
    model.load_state_dict(state_dict, strict=True)
    detected = inference_detector(model, image).pred_instances
    torch.save(dict(detected.items()), f'{checkpoint}.detected')
foreign = {'mmkd.registry', 'mmkd.algorithms', 'mmkd.losses', 'mmrazor'} & sys.modules.keys()
assert not foreign, foreign
"""


@pytest.fixture(scope='module')
def plain(run, tmp_path_factory):
    """Function: what plain MMDetection, in another process, detects with a family's student."""
    folder = tmp_path_factory.mktemp('exported')
    students = {}
    for family in FAMILIES:
        runner = run(family)
        out = folder / f'{family}.pth'
        config = f'{runner.work_dir}/config.py'
        export_student.main([f'{runner.work_dir}/epoch_1.pth', str(out), '--config', config])
        students[family] = [str(out.with_suffix('.py')), str(out), image_of(runner)]
    arguments = [json.dumps(students), str(torch.get_num_threads())]
    done = subprocess.run(
        [sys.executable, '-c', PLAIN, *arguments], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return lambda family: torch.load(folder / f'{family}.pth.detected', weights_only=True)


@pytest.mark.parametrize('family', FAMILIES)
def test_plain_mmdetection_detects_the_same_with_the_exported_student(family, run, plain):
    from mmdet.apis import inference_detector
    from mmengine.registry import init_default_scope

    runner = run(family)
    init_default_scope('mmdet')
    runner.model.cfg = runner.cfg
    detected = inference_detector(runner.model.cpu().eval(), image_of(runner)).pred_instances
    assert len(detected) > 0
    assert ('masks' in detected) == (family == 'MaskRCNN')
    torch.testing.assert_close(plain(family), dict(detected.items()), rtol=0, atol=0)
