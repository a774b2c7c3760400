"""The pairs of detectors on which methods, and numbers of labels, are compared."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import cv2
from mmengine.config import Config
from mmengine.hub import get_config

DIGITS = Path(__file__).resolve().parent.parent / 'configs/digits/gfl_r18w16_fpn_digits.py'
CROP = 0.6  # of a side; random crops are at least as large


class DetectorPair(NamedTuple):
    """What every method gets alike.

    Attributes:
        teacher: Its config. It has a schedule if it is trained here.
        student: Its config, with data and schedule.
        data: Further arguments of ``mmkd.plan``.
    """

    teacher: Config
    student: Config
    data: Mapping[str, Any] = MappingProxyType({})


def digits(epochs: int, images: int = 1500, size: int = 128) -> DetectorPair:
    """GFL on small scenes of handwritten digits: a ResNet-18 of width 32 teaches one of width 8.

    Both see the same scenes. The teacher is stronger because it is larger and trains longer.
    """
    teacher, student = (_on_digits(images, size) for _ in range(2))
    teacher.model.backbone.base_channels = 32
    teacher.model.neck.in_channels = [64, 128, 256]
    student.model.backbone.base_channels = 8
    student.model.neck.update(in_channels=[16, 32, 64], out_channels=32)
    student.model.bbox_head.update(in_channels=32, feat_channels=32)
    _set_length(teacher, 14)
    _set_length(student, epochs)
    return DetectorPair(teacher, student)


def persons(folder: Path, epochs: int, size: int = 256) -> DetectorPair:
    """YOLOX-nano of COCO's 80 classes teaches a YOLOX of a quarter of its cost to find persons.

    Args:
        folder: ``coco_person``, in COCO format.
        epochs: Of the students.
        size: Longer side of the images in pixels.
    """
    teacher = get_config('mmdet::yolox/yolox_nano_8xb8-300e_coco.py')
    student = get_config('mmdet::yolox/yolox_nano_8xb8-300e_coco.py')
    student.model.data_preprocessor.batch_augments = None
    student.model.backbone.widen_factor = 0.125
    student.model.neck.update(in_channels=[32, 64, 128], out_channels=32)
    student.model.bbox_head.update(num_classes=1, in_channels=32, feat_channels=32)
    _read_small_images(student, size)
    student.optim_wrapper = dict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
        paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
        clip_grad=dict(max_norm=35),
    )
    student.param_scheduler = _schedule(epochs)
    student.custom_hooks = [
        dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.002, update_buffers=True)
    ]
    student.default_hooks.checkpoint.max_keep_ckpts = 1
    student.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=epochs)
    return DetectorPair(teacher, student, dict(data=folder))


def shrunk(folder: Path, size: int, target: Path) -> Path:
    """Copy a folder in COCO format with images as small as the crops of a size need. Once.

    They load faster. The copy is in a folder of its own for each size, in ``target``.
    """
    target, size = target / f'size{size}', round(size / CROP)
    for split in ('train', 'val'):
        if (target / f'{split}.json').is_file():
            continue
        (target / split).mkdir(parents=True, exist_ok=True)
        content = json.loads((folder / f'{split}.json').read_text())
        scales = {}
        for image in content['images']:
            picture = cv2.imread(str(folder / split / image['file_name']))
            scale = min(1.0, size / max(picture.shape[:2]))
            width, height = (round(side * scale) for side in picture.shape[1::-1])
            picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(target / split / image['file_name']), picture)
            image.update(width=width, height=height)
            scales[image['id']] = scale
        for annotation in content['annotations']:
            scale = scales[annotation['image_id']]
            annotation['bbox'] = [side * scale for side in annotation['bbox']]
            annotation['area'] *= scale**2
            annotation.pop('segmentation', None)
        (target / f'{split}.json').write_text(json.dumps(content))
    return target


def _on_digits(images: int, size: int) -> Config:
    cfg = Config.fromfile(DIGITS)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.image_size = size
        for transform in loader.dataset.pipeline:
            if transform.type == 'Resize':
                transform.scale = (size, size)
    cfg.train_dataloader.dataset.num_images = images
    return cfg


def _set_length(cfg: Config, epochs: int) -> None:
    cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    cfg.param_scheduler[1].update(end=epochs, T_max=epochs)


def _schedule(epochs: int) -> list[dict[str, Any]]:
    cosine = dict(
        type='CosineAnnealingLR',
        begin=0,
        end=epochs,
        T_max=epochs,
        eta_min_ratio=0.02,
        convert_to_iter_based=True,
    )
    return [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=200), cosine]


def _read_small_images(cfg: Config, size: int) -> None:
    """Resize, pad, flip and crop, as the teacher reads them: 0 to 255, padded with 114."""
    resize = dict(type='Resize', scale=(size, size), keep_ratio=True)
    pad = dict(type='Pad', pad_to_square=True, pad_val=dict(img=(114.0, 114.0, 114.0)))
    meta = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
    load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)]
    train = [
        *load,
        dict(
            type='RandomCrop',
            crop_type='relative_range',
            crop_size=(CROP, CROP),
            allow_negative_crop=True,
        ),
        resize,
        pad,
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackDetInputs'),
    ]
    test = [*load, resize, pad, dict(type='PackDetInputs', meta_keys=meta)]
    loader = dict(num_workers=0, persistent_workers=False)
    data = dict(type='CocoDataset')
    cfg.train_dataloader = dict(
        batch_size=16,
        sampler=dict(type='DefaultSampler', shuffle=True),
        dataset=dict(data, pipeline=train, filter_cfg=dict(filter_empty_gt=False)),
        **loader,
    )
    cfg.val_dataloader = cfg.test_dataloader = dict(
        batch_size=16,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(data, pipeline=test, test_mode=True),
        **loader,
    )
