"""Time that distillation adds to a training step, method by method.

One process times three things in turn: the training step of the plain student, the teacher's
forward pass as the method runs it (backbone and neck, or the whole network), and the distilled
training step. Batches are in memory. A training step includes preprocessing, backward pass and
optimizer. Ratios compare the times of the same turn. The distilled step minus student and teacher
is the cost of recorders, connectors and losses with their backward pass.

DLKD on a classifier extracts features from four rotated views of each image. There, the plain
student's step also extracts the features of all views, with the task loss on the original image,
and the teacher sees all views.

`detectors` are GFL with ResNet-18 of width 16 and 48, on scenes of digits. `coco` is RetinaNet with
ResNet-50 and ResNeXt-101, on two random images of 800 x 1333. `classifiers` are ResNet-8x4 and
ResNet-32x4, on random images of 32 x 32.

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
    """Measure and print."""
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
    """Ratios, and the times of student and teacher."""
    alone = [sum(turn) for turn in zip(times[STUDENT], times[TEACHER], strict=True)]
    return [
        spread(ratios(times[DISTILLED], alone), 2),
        spread(ratios(times[DISTILLED], times[STUDENT]), 2),
        *(f'{1e3 * median(times[name]):.0f}' for name in (STUDENT, TEACHER)),
    ]


def measure(kind: str, method: str, args: argparse.Namespace) -> Times:
    """Seconds of the three candidates in each turn."""
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
    """A whole step: preprocessing, losses, backward pass, optimizer."""
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-4))
    model.train()
    return lambda: model.train_step(data, optimizer)


def scenes(cfg: Config) -> dict[str, Any]:
    """A batch of scenes of digits, as the data loader collates it."""
    with redirect_stdout(StringIO()):  # the COCO API prints
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    samples = [dataset[i] for i in range(SCENES)]
    return {key: [sample[key] for sample in samples] for key in ('inputs', 'data_samples')}


def random_photographs(_: Config) -> dict[str, Any]:
    """A batch of random images at the size of COCO's."""
    images = torch.randint(0, 256, (COCO_IMAGES, 3, *COCO_SIZE), dtype=torch.uint8)
    return dict(inputs=[*images], data_samples=[boxes_of(image) for image in images])


def boxes_of(image: Tensor) -> DetDataSample:
    """Random boxes, a tenth to a half of the image wide and high."""
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
    """A batch of random small images, four of each class."""
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
