"""Print the modules, shapes and strides of a teacher and a student.

Both models run once on a black image; they need no weights and no data. Shapes leave out the batch.
/8 is the stride of a map: pixels of the input per cell. The image has the size of the training
images, padded as a batch is, or 512 pixels a side at most.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmkd.cli.command import CommandParser, run_command
from mmkd.cli.options import add_config_options

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.model import BaseModel

    from mmkd.pairing import Calls, Size


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = CommandParser(description=__doc__)
    parser.add_argument('config', nargs='?', help='config of a distillation; or give both models:')
    parser.add_argument('--teacher', metavar='CONFIG', help="of MMDetection ('mmdet::...'), ...")
    parser.add_argument('--student', metavar='CONFIG')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help="image size; default that of the student's training, at most 512 for a detector",
    )
    parser.add_argument(
        '--depth', type=int, default=2, help='parts of the longest names (default: %(default)s)'
    )
    parser.add_argument('--filter', default='', metavar='TEXT', help='only names that contain it')
    add_config_options(parser)
    args = parser.parse_args(argv)
    if bool(args.config) == bool(args.teacher and args.student):
        parser.error('expected either a config or both --teacher and --student')
    if args.depth < 1:
        parser.error(f'--depth: expected a positive number, got {args.depth}')
    if args.size and min(args.size) < 1:
        parser.error(f'--size: expected positive numbers, got {args.size}')
    return args


def pair_of(args: argparse.Namespace) -> tuple[Config, dict[str, Any]]:
    """Return the config of the training, and that of each model by its title, the student first.

    Raises:
        ValueError: If the config describes no distillation.
    """
    from mmkd.api.running import load_config  # late, so that --help is fast

    if args.config is None:
        cfg = load_config(args.student, args.cfg_options)
        return cfg, {who: dict(cfg_path=getattr(args, who)) for who in ('student', 'teacher')}
    cfg = load_config(args.config, args.cfg_options)
    if not {'architecture', 'teacher'} <= set(cfg.get('model', ())):
        raise ValueError(
            f'config: expected a distillation (a model with architecture and teacher), got '
            f'{args.config}; give plain models as --teacher and --student'
        )
    teacher = cfg.model.teacher
    teachers = teacher.members if 'members' in teacher else {'teacher': teacher}
    return cfg, {'student': cfg.model.architecture, **teachers}


def build(config: Mapping[str, Any]) -> BaseModel:
    """Build a student, or a teacher without its weights."""
    from mmkd.models.building import build_model
    from mmkd.teachers.frozen_teacher import ARGUMENTS

    return build_model({k: v for k, v in config.items() if k not in ARGUMENTS})


def _trained_on(student: Config, size: Size) -> str:
    """Where the size differs from that of the training images: say so."""
    from mmkd.pairing import image_size

    trained = image_size(student)
    return f' (trained on {trained[0]} x {trained[1]})' if trained not in (None, size) else ''


def _traced(model: BaseModel, size: Size, whole: Size) -> Calls:
    """Trace the shapes at one size, and the strides at another that all strides divide."""
    from mmkd.pairing import trace

    calls = trace(model, size)
    if size == whole:
        return calls
    exact = trace(model, whole)
    return {
        name: [
            tuple(o._replace(stride=e.stride) for o, e in zip(*pair, strict=False))
            for pair in zip(outputs, exact[name], strict=False)
        ]
        for name, outputs in calls.items()
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    args = parse_args(argv)
    import rich

    from mmkd.exporting import student_config
    from mmkd.pairing import default_size, padded_size, side_by_side

    cfg, configs = pair_of(args)
    models = {name: build(config) for name, config in configs.items()}
    student = student_config(cfg)
    whole = tuple(args.size) if args.size else default_size(student)
    size = whole if args.size else padded_size(student) or whole
    for name, model in models.items():
        millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        print(f'{name}: {type(model).__name__}, {millions:.1f} M parameters')
    print(f'image: {size[0]} x {size[1]}{"" if args.size else _trained_on(student, size)}\n')
    try:
        traces = {name: _traced(model, size, whole) for name, model in models.items()}
    except RuntimeError as error:
        raise ValueError(f'--size: {error}') from error
    names = [name for calls in traces.values() for name in calls if name.count('.') < args.depth]
    if not any(args.filter in name for name in names):
        raise ValueError(f'--filter: no name of {args.depth} parts contains {args.filter!r}')
    rich.print(side_by_side(traces, depth=args.depth, containing=args.filter))


if __name__ == '__main__':
    run_command(main)
