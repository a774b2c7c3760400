"""Config files of tiny teachers and students, and data of one's own for them."""

import shutil

import torch
from helpers import CLASSIFIER, FASTER_RCNN, RETINANET
from mmengine.config import Config

from mmkd.models.building import build_model, model_config

CLASSES = ('disc', 'square')
PIPELINE = [
    {'type': 'LoadImageFromFile'},
    {'type': 'Resize', 'scale': (128, 96), 'keep_ratio': True},
    {'type': 'LoadAnnotations', 'with_bbox': True},
    {
        'type': 'PackDetInputs',
        'meta_keys': ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    },
]
LOADER = {'num_workers': 0, 'persistent_workers': False, 'batch_size': 4}
# Untrained students are unsure: without this there would be nothing to evaluate.
SURE = {'score_thr': 0.0}


def write_config(path, model, **settings):
    """A config file that changes a config's model by ``model``."""
    model = dict(model)
    lines = [f'_base_ = {model.pop("cfg_path")!r}', f'model = {model!r}']
    path.write_text('\n'.join([*lines, *(f'{key} = {value!r}' for key, value in settings.items())]))
    return path


def wider(model, width):
    """A detector whose levels have another number of channels."""
    return Config._merge_a_into_b(
        {
            'neck': {'out_channels': width},
            'rpn_head': {'in_channels': width},
            'roi_head': {
                'bbox_roi_extractor': {'out_channels': width},
                'bbox_head': {'in_channels': width},
            },
        },
        model,
    )


def cascaded(model):
    """The Cascade R-CNN of a Faster R-CNN."""
    cfg_path = 'mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py'
    heads = model_config(cfg_path)[0].roi_head.bbox_head
    change = model['roi_head']['bbox_head']
    heads = [{**Config(head).to_dict(), **change} for head in heads]
    return {
        **model,
        'cfg_path': cfg_path,
        'roi_head': {**model['roi_head'], 'bbox_head': heads},
    }


def write_models(folder):
    """Configs of tiny models, the teachers' with weights beside them."""
    loaders = {
        f'{stage}_dataloader': {**LOADER, 'dataset': {'pipeline': PIPELINE}}
        for stage in ('train', 'val', 'test')
    }
    write_config(folder / 'retinanet.py', {**RETINANET, 'test_cfg': SURE}, **loaders)
    write_config(folder / 'big_retinanet.py', RETINANET)
    write_config(folder / 'faster_rcnn.py', wider(FASTER_RCNN, 24))
    write_config(folder / 'cascade_rcnn.py', cascaded(FASTER_RCNN))
    sure = {'test_cfg': {**FASTER_RCNN['test_cfg'], 'rcnn': SURE}}
    write_config(folder / 'small_faster_rcnn.py', {**FASTER_RCNN, **sure}, **loaders)
    pipeline = [PIPELINE[0], {'type': 'Resize', 'scale': (32, 32)}, {'type': 'PackInputs'}]
    loaders = {
        f'{stage}_dataloader': {**LOADER, 'dataset': {'pipeline': pipeline}}
        for stage in ('train', 'val', 'test')
    }
    write_config(folder / 'small.py', CLASSIFIER, **loaders)
    big = {'backbone': {'base_channels': 16}, 'head': {'in_channels': 128}}
    write_config(folder / 'big.py', {**CLASSIFIER, **big})
    for name in ('big_retinanet', 'faster_rcnn', 'cascade_rcnn', 'big'):
        torch.manual_seed(0)
        model = build_model({'cfg_path': str(folder / f'{name}.py')})
        model.init_weights()
        torch.save({'state_dict': model.state_dict()}, folder / f'{name}.pth')


def write_class_folders(folder, images):
    """Four of the images each, for both classes, in train and val."""
    for split in ('train', 'val'):
        for label, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for image in images[label::2]:
                shutil.copy(image, folder / split / name)


def pair(folder, teacher='big_retinanet', student='retinanet', **more):
    """Arguments of ``mmkd.plan`` and ``mmkd.distill``."""
    return {
        'teacher': f'{folder}/{teacher}.py',
        'teacher_checkpoint': f'{folder}/{teacher}.pth',
        'student': f'{folder}/{student}.py',
        **more,
    }


def coco(root):
    """The data argument for the pictures and annotations of ``tiny_coco``."""
    files = (root / 'annotations.json', root / 'images')
    return {'train': files, 'val': files}


def digit_arguments(folder, epochs):
    """Arguments of ``mmkd.distill`` for classifiers of 64 digits; the teacher's file is here."""
    checkpoint, teacher = folder / 'teacher.pth', 'mmkd::digits/resnet14_digits.py'
    torch.manual_seed(0)
    torch.save({'state_dict': build_model({'cfg_path': teacher}).state_dict()}, checkpoint)
    return {
        'teacher': teacher,
        'teacher_checkpoint': checkpoint,
        'student': 'mmkd::digits/resnet8_digits.py',
        'epochs': epochs,
        'options': {
            'train_dataloader.dataset.num_samples': 64,
            'val_dataloader.dataset.num_samples': 40,
            'train_cfg.val_interval': 1,
        },
    }
