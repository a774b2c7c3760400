"""Time of a teacher's forward pass: a plain network, `FrozenTeacher`, and each of its options.

The reference is the whole network with its heads, in eval mode and fp32, eager and with autograd.
It uses PyTorch's defaults, so convolutions on a GPU use TF32. `features` is
`FrozenTeacher(mode='features')`: backbone and neck, without gradients. The other rows add options
to it. Each row shows its time divided by the reference's and by that of `features`, as ratios
within the same turn. The last column is the largest difference from the reference's features,
divided by their largest value, over all levels. Weights are random. Batch statistics come from one
batch.

    python benchmarks/teacher_speed.py --threads 2 --repeats 9
    python benchmarks/teacher_speed.py --device cuda --repeats 99
"""

import argparse
import copy
import logging
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from timing import in_turn, parser_of, print_table, ratios, spread, start, write_json
from torch import Tensor

import mmkd.registry  # noqa: F401
from mmkd.models.building import build_model
from mmkd.models.compilation import begin_step
from mmkd.teachers import FrozenTeacher

MODELS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    'digits': (dict(cfg_path='mmkd::digits/gfl_r18w48_fpn_digits.py'), (8, 3, 160, 160)),
    'r50': (
        dict(cfg_path='mmdet::gfl/gfl_r50_fpn_1x_coco.py', backbone=dict(init_cfg=None)),
        (2, 3, 320, 480),
    ),
    'x101': (
        dict(
            cfg_path='mmdet::retinanet/retinanet_x101-64x4d_fpn_1x_coco.py',
            backbone=dict(init_cfg=None),
        ),
        (2, 3, 800, 1344),
    ),
}
FIRST, OURS = 'eager fp32 network', 'features'
OPTIONS: dict[str, dict[str, Any]] = {
    'channels_last': dict(channels_last=True),
    'bf16': dict(precision='bf16'),
    'bf16, channels_last': dict(precision='bf16', channels_last=True),
    'compile': dict(compile=True),
    'compile, bf16, channels_last': dict(compile=True, precision='bf16', channels_last=True),
}
ON_GPUS: dict[str, dict[str, Any]] = {
    'CUDA graphs, bf16, channels_last': dict(
        compile=dict(mode='reduce-overhead'), precision='bf16', channels_last=True
    )
}

Features = Sequence[Tensor]


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__, repeats=9)
    parser.add_argument('--models', nargs='+', choices=MODELS, default=['digits', 'r50'])
    parser.add_argument('--eager', action='store_true', help='skip the compiled teachers')
    args = start(parser)
    MMLogger.get_instance('mmkd', log_level=logging.ERROR)
    measured = {name: measure(name, args) for name in args.models}
    header = ['', f'/ {FIRST}', f'/ {OURS}', 'ms', 'difference']
    for name, rows in measured.items():
        print(f'\n{name}, {" x ".join(map(str, MODELS[name][1]))}\n')
        print_table(header, [[label, *row(rows, label)] for label in rows])
    write_json(args, measured)


def row(rows: dict[str, Any], label: str) -> list[str]:
    """The cells of one teacher."""
    seconds = {name: values['seconds'] for name, values in rows.items()}
    return [
        *(spread(ratios(seconds[label], seconds[name]), 2) for name in (FIRST, OURS)),
        f'{1e3 * median(seconds[label]):.1f}',
        f'{rows[label]["difference"]:.0e}',
    ]


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds in each turn, and the difference of the features from the reference's."""
    config, shape = MODELS[name]
    torch.manual_seed(0)
    model = build_model(config).to(args.device)
    images = torch.randn(shape, device=args.device)
    with torch.no_grad():
        model.train().extract_feat(images)
        expected = model.eval().extract_feat(images)
    model.requires_grad_(True)  # some stages are frozen by their config
    candidates: dict[str, Callable[[], Any]] = {FIRST: partial(model, images, mode='tensor')}
    differences = {FIRST: 0.0}
    for label, options in chosen(args).items():
        candidates[label] = teacher = partial(run, frozen(model, options), images)
        differences[label] = difference(teacher(), expected)
    times = in_turn(candidates, args.repeats, args.device)
    return {
        label: dict(seconds=times[label], difference=differences[label]) for label in candidates
    }


def chosen(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Options of the teachers to time."""
    options = {OURS: {}, **OPTIONS, **(ON_GPUS if args.device == 'cuda' else {})}
    return {k: v for k, v in options.items() if not (args.eager and 'compile' in v)}


def frozen(model: BaseModel, options: dict[str, Any]) -> FrozenTeacher:
    """A teacher with its own copy of the weights."""
    return FrozenTeacher(copy.deepcopy(model), mode='features', **options)


def run(teacher: FrozenTeacher, images: Tensor) -> Features:
    """A step of the teacher."""
    if teacher.compiled:
        begin_step()
    return teacher(images)


def difference(features: Features, expected: Features) -> float:
    """Largest difference from the expected features, divided by their largest value."""
    errors = [
        ((ours.float() - theirs).abs().max() / theirs.abs().max()).item()
        for ours, theirs in zip(features, expected, strict=True)
    ]
    return max(errors)


if __name__ == '__main__':
    main()
