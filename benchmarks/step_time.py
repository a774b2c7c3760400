"""What distillation adds to a training step, method by method.

Timed in turn, in one process: the plain student's training step, the teacher's forward as the
method runs it (backbone and neck, or to the logits), and the distilled training step; each from
batches that are in memory, with preprocessing, backward and optimizer. Ratios are taken within one
turn. What the distilled step takes above student and teacher together is the cost of recorders,
connectors, losses and their backward.

A method that extracts features from several views of each image (DLKD on a classifier: four
rotations) is compared per view: the student's training step has the features of all views and the
task loss of the image alone, and the teacher's forward is over all views.

Detectors are GFL on ResNet-18 of width 16 and 48 on scenes of digits, detectors of COCO RetinaNet
on ResNet-50 and ResNeXt-101 on two random images of 800 x 1333, and classifiers ResNet-8x4 and
ResNet-32x4 on random images of 32 x 32.

    python benchmarks/step_time.py --threads 2 --repeats 9
"""

import argparse
import logging
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample
from timing import Times, in_turn, parser_of, print_table, ratios, spread, start, write_json
from torch import Tensor

import mmkd.registry  # noqa: F401
from mmkd.models.building import build_model
from mmkd.models.multi_view import all_views
from mmkd.registry import DATASETS, MODELS

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
METHODS = ('pcka', 'fkd', 'cckd', 'cmkd', 'dlkd')
PAIRS = {
    'detectors': 'gfl_r18w48_r18w16_fpn_digits',
    'coco': 'retinanet_x101_r50_fpn_2x_coco',
    'classifiers': 'resnet32x4_resnet8x4_cifar100',
}
SCENES, IMAGES, CLASSES = 8, 64, 100  # images in a batch of detectors, and of classifiers
COCO_IMAGES, COCO_SIZE, COCO_BOXES = 2, (800, 1333), 7  # boxes of an image, about COCO's mean
STUDENT, TEACHER, DISTILLED = 'student step', 'teacher forward', 'distilled step'


def main() -> None:
    """Time and print."""
    parser = parser_of(__doc__, repeats=9)
    parser.add_argument('--methods', nargs='+', choices=METHODS, default=METHODS)
    parser.add_argument('--models', nargs='+', choices=PAIRS, default=['detectors', 'classifiers'])
    args = start(parser)
    MMLogger.get_instance('mmkd', log_level=logging.ERROR)
    measured = {
        f'{kind}, {method}': measure(kind, method, args)
        for kind in args.models
        for method in args.methods
    }
    both = f'{DISTILLED} / ({STUDENT} + {TEACHER})'
    print_table(
        ['', both, f'{DISTILLED} / {STUDENT}', *(f'{name}, ms' for name in (STUDENT, TEACHER))],
        [[name, *row(times)] for name, times in measured.items()],
    )
    write_json(args, measured)


def row(times: Times) -> list[str]:
    """Ratios, and the times that they are of."""
    alone = [sum(turn) for turn in zip(times[STUDENT], times[TEACHER], strict=True)]
    return [
        spread(ratios(times[DISTILLED], alone), 2),
        spread(ratios(times[DISTILLED], times[STUDENT]), 2),
        *(f'{1e3 * median(times[name]):.0f}' for name in (STUDENT, TEACHER)),
    ]


def measure(kind: str, method: str, args: argparse.Namespace) -> Times:
    """Seconds of the three in each turn."""
    cfg = Config.fromfile(CONFIGS / method / f'{method}_{PAIRS[kind]}.py')
    cfg.model.teacher.checkpoint = None
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    algorithm = MODELS.build(cfg.model).to(args.device)
    student = build_model(cfg.model.architecture).to(args.device)
    data = DATA[kind](cfg)
    batch = algorithm.data_preprocessor(data, training=True)
    plain_step = training_step(student, data)

    def student_step() -> None:
        with all_views(student, algorithm.views):
            plain_step()

    candidates = {
        STUDENT: student_step,
        TEACHER: lambda: algorithm.teacher(
            batch['inputs'], batch['data_samples'], views=algorithm.views
        ),
        DISTILLED: training_step(algorithm, data),
    }
    return in_turn(candidates, args.repeats, args.device)


def training_step(model: BaseModel, data: dict[str, Any]) -> Callable[[], object]:
    """A whole step: preprocessing, losses, backward, optimizer."""
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-4))
    model.train()
    return lambda: model.train_step(data, optimizer)


def scenes(cfg: Config) -> dict[str, Any]:
    """A batch of a detector, as its loader collates it."""
    with redirect_stdout(StringIO()):  # of the COCO API
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    samples = [dataset[i] for i in range(SCENES)]
    return {key: [sample[key] for sample in samples] for key in ('inputs', 'data_samples')}


def random_photographs(_: Config) -> dict[str, Any]:
    """A batch of a detector of COCO."""
    images = torch.randint(0, 256, (COCO_IMAGES, 3, *COCO_SIZE), dtype=torch.uint8)
    return dict(inputs=[*images], data_samples=[boxes_of(image) for image in images])


def boxes_of(image: Tensor) -> DetDataSample:
    """Boxes at random, from a tenth to half of the image wide and high."""
    size = torch.tensor(image.shape[:0:-1])
    extent = (0.1 + 0.4 * torch.rand(COCO_BOXES, 2)) * size
    corner = torch.rand(COCO_BOXES, 2) * (size - extent)
    boxes = torch.cat((corner, corner + extent), dim=1)
    labels = torch.randint(0, 80, (COCO_BOXES,))
    shape = tuple(image.shape[1:])
    sample = DetDataSample(metainfo=dict(img_shape=shape, ori_shape=shape, scale_factor=(1, 1)))
    sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
    return sample


def random_images(_: Config) -> dict[str, Any]:
    """A batch of a classifier, four images of a class."""
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8)
    labels = [i // 4 % CLASSES for i in range(IMAGES)]
    return dict(inputs=images, data_samples=[DataSample().set_gt_label(i) for i in labels])


DATA: dict[str, Callable[[Config], dict[str, Any]]] = {
    'detectors': scenes,
    'coco': random_photographs,
    'classifiers': random_images,
}


if __name__ == '__main__':
    main()
