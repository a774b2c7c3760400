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
ResNet-50 and ResNeXt-101, on random images of 800 x 1333, and `gfl` GFL with ResNet-50 and
ResNet-101 on the same. `classifiers` are ResNet-8x4 and ResNet-32x4, on random images of 32 x 32. A
method without a config for a pair is left out.

On a GPU, a fourth candidate is the plain step with the teacher on a second stream beside it: what
overlap could save.

    python benchmarks/step_time.py --threads 2 --repeats 9
    python benchmarks/step_time.py --device cuda --amp --models coco gfl --batch 8
"""

import argparse
import logging
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
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
OTHERS = ('pcka_mimic', 'rcka')
PAIRS = {
    'detectors': 'gfl_r18w48_r18w16_fpn_digits',
    'coco': 'retinanet_x101_r50_fpn_2x_coco',
    'gfl': 'gfl_r101_r50_fpn_2x_coco',
    'classifiers': 'resnet32x4_resnet8x4_cifar100',
}
SCENES, IMAGES, CLASSES = 8, 64, 100  # images in a batch of detectors, and of classifiers
COCO_SIZE, COCO_BOXES = (800, 1333), 7  # boxes of an image, about COCO's mean
STUDENT, TEACHER, DISTILLED = 'student step', 'teacher forward', 'distilled step'
OVERLAPPED = 'student step beside teacher forward'


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__, repeats=9)
    parser.add_argument('--methods', nargs='+', choices=METHODS + OTHERS, default=METHODS)
    parser.add_argument('--models', nargs='+', choices=PAIRS, default=['detectors', 'classifiers'])
    parser.add_argument(
        '--batch', type=int, default=2, help='images of a batch of coco and gfl (default: 2)'
    )
    parser.add_argument('--size', type=int, nargs=2, default=COCO_SIZE, help='of these images')
    parser.add_argument('--amp', action='store_true', help='mixed precision; needs a GPU')
    args = start(parser)
    if args.amp and args.device != 'cuda':
        parser.error('--amp: expected --device cuda')
    MMLogger.get_instance('mmkd', log_level=logging.ERROR)
    measured = {
        f'{kind}, {method}': measure(kind, method, args)
        for kind in args.models
        for method in args.methods
        if config_of(kind, method).exists()
    }
    both = f'{DISTILLED} / ({STUDENT} + {TEACHER})'
    timed = [STUDENT, TEACHER, *([OVERLAPPED] if args.device == 'cuda' else [])]
    print_table(
        ['', both, f'{DISTILLED} / {STUDENT}', *(f'{name}, ms' for name in timed)],
        [[name, *row(times)] for name, times in measured.items()],
    )
    write_json(args, measured)


def row(times: Times) -> list[str]:
    """Ratios, and the times of student and teacher."""
    alone = [sum(turn) for turn in zip(times[STUDENT], times[TEACHER], strict=True)]
    return [
        spread(ratios(times[DISTILLED], alone), 2),
        spread(ratios(times[DISTILLED], times[STUDENT]), 2),
        *(f'{1e3 * median(turns):.0f}' for name, turns in times.items() if name != DISTILLED),
    ]


def config_of(kind: str, method: str) -> Path:
    """The config of a method on a pair, which may not exist."""
    return CONFIGS / method.partition('_')[0] / f'{method}_{PAIRS[kind]}.py'


def measure(kind: str, method: str, args: argparse.Namespace) -> Times:
    """Seconds of the candidates in each turn."""
    cfg = Config.fromfile(config_of(kind, method))
    cfg.model.teacher.checkpoint = None
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    algorithm = MODELS.build(cfg.model).to(args.device)
    student = build_model(cfg.model.architecture).to(args.device)
    data = DATA[kind](cfg, args)
    batch = algorithm.data_preprocessor(data, training=True)
    plain_step = training_step(student, data, args.amp)

    def student_step() -> None:
        with all_views(student, algorithm.views):
            plain_step()

    def teacher_forward() -> None:
        with torch.autocast(args.device, enabled=args.amp):
            algorithm.teacher(batch['inputs'], batch['data_samples'], views=algorithm.views)

    candidates = {
        STUDENT: student_step,
        TEACHER: teacher_forward,
        DISTILLED: training_step(algorithm, data, args.amp),
    }
    if args.device == 'cuda':
        candidates[OVERLAPPED] = partial(side_by_side, student_step, teacher_forward)
    return in_turn(candidates, args.repeats, args.device)


def side_by_side(step: Callable[[], object], beside: Callable[[], object]) -> None:
    """Run one function on the current stream and one on another, and join them."""
    current, other = torch.cuda.current_stream(), torch.cuda.Stream()
    other.wait_stream(current)
    with torch.cuda.stream(other):
        beside()
    step()
    current.wait_stream(other)


def training_step(model: BaseModel, data: dict[str, Any], amp: bool) -> Callable[[], object]:
    """A whole step: preprocessing, losses, backward pass, optimizer."""
    wrapper = AmpOptimWrapper if amp else OptimWrapper
    optimizer = wrapper(optimizer=torch.optim.AdamW(model.parameters(), lr=1e-4))
    model.train()
    return lambda: model.train_step(data, optimizer)


def scenes(cfg: Config, _: argparse.Namespace) -> dict[str, Any]:
    """A batch of scenes of digits, as the data loader collates it."""
    with redirect_stdout(StringIO()):  # the COCO API prints
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    samples = [dataset[i] for i in range(SCENES)]
    return {key: [sample[key] for sample in samples] for key in ('inputs', 'data_samples')}


def random_photographs(_: Config, args: argparse.Namespace) -> dict[str, Any]:
    """A batch of random images at the size of COCO's."""
    images = torch.randint(0, 256, (args.batch, 3, *args.size), dtype=torch.uint8)
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


def random_images(_: Config, __: argparse.Namespace) -> dict[str, Any]:
    """A batch of random small images, four of each class."""
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8)
    labels = [i // 4 % CLASSES for i in range(IMAGES)]
    return dict(inputs=images, data_samples=[DataSample().set_gt_label(i) for i in labels])


DATA: dict[str, Callable[[Config, argparse.Namespace], dict[str, Any]]] = {
    'detectors': scenes,
    'coco': random_photographs,
    'gfl': random_photographs,
    'classifiers': random_images,
}


if __name__ == '__main__':
    main()
