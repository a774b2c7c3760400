"""Distill a student from a teacher without writing a config: mmkd writes it.

Both models run once on a black image. Their outputs tell which levels, features or logits the
method compares. The config, WORK_DIR/METHOD_TEACHER_STUDENT.py, inherits data and schedule from the
student's config. Edit it, and run it again with `mmkd train`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmkd
from mmkd.cli.command import CommandParser, run_command
from mmkd.cli.config_options import ConfigOptions
from mmkd.cli.options import add_config_options, add_launcher
from mmkd.pairing.methods import CLASSIFIER_METHODS, DETECTOR_METHODS


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = CommandParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    models = "config file, or a package's config ('mmdet::...')"
    parser.add_argument('--teacher', required=True, metavar='CONFIG', help=models)
    parser.add_argument(
        '--teacher-checkpoint', '--teacher-ckpt', required=True, help='its weights, a file or URL'
    )
    parser.add_argument('--student', required=True, metavar='CONFIG', help=models)
    parser.add_argument(
        '--method',
        help=f'for detectors {", ".join(DETECTOR_METHODS)}; '
        f'for classifiers {", ".join(CLASSIFIER_METHODS)} (default: pcka, kd)',
    )
    parser.add_argument(
        '--method-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help="arguments of the method's losses, e.g. loss_weight=5, mimic.loss_weight=2",
    )
    data = parser.add_argument_group("your data (default: the student's)")
    data.add_argument(
        '--data',
        metavar='DIR',
        help='for detectors train.json, val.json, train/, val/; '
        'for classifiers train/CLASS/, val/CLASS/',
    )
    data.add_argument('--ann', metavar='TRAIN.json', help='COCO annotations, instead of --data')
    data.add_argument('--img', metavar='DIR', help='their images')
    data.add_argument('--val-ann', metavar='VAL.json', help='annotations for validation')
    data.add_argument('--val-img', metavar='DIR', help='their images')
    parser.add_argument('--epochs', type=int, help='the schedule is stretched to them')
    parser.add_argument(
        '--image-size', type=int, nargs='+', metavar='SIDE', help='side of a square, or H W'
    )
    parser.add_argument('--batch-size', type=int, help='images per process')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs'), help='of the config')
    parser.add_argument(
        '--dry-run', action='store_true', help='write the config and check it, do not train'
    )
    parser.add_argument(
        '--skip-teacher-evaluation', action='store_true', help='do not evaluate the teacher'
    )
    parser.add_argument('--amp', action='store_true', help='train with mixed precision (GPU)')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size'
    )
    add_config_options(parser)
    add_launcher(parser)
    args = parser.parse_args(argv)
    for first, second in (('ann', 'img'), ('val_ann', 'val_img')):
        if (getattr(args, first) is None) != (getattr(args, second) is None):
            names = ' and '.join(f'--{name.replace("_", "-")}' for name in (first, second))
            parser.error(f'expected both or none of {names}')
    if args.val_ann and not args.ann:
        parser.error('--val-ann: expected --ann beside it')
    if args.ann and args.data:
        parser.error('expected --ann and --img, or --data, not both')
    if args.image_size and len(args.image_size) > 2:
        parser.error(f'--image-size: expected one side or H W, got {args.image_size}')
    return args


def arguments_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of :func:`mmkd.distill` that the options describe."""
    data: Any = args.data
    if args.ann:
        data = dict(train=(args.ann, args.img))
        if args.val_ann:
            data['val'] = (args.val_ann, args.val_img)
    size = args.image_size
    same = ['teacher', 'student', 'teacher_checkpoint', 'method', 'epochs', 'batch_size']
    same += ['work_dir', 'amp', 'auto_scale_lr', 'launcher']
    return dict(
        **{name: getattr(args, name) for name in same},
        data=data,
        image_size=size[0] if size and len(size) == 1 else size,
        method_options=_nested(args.method_options or {}),
        options=args.cfg_options,
        evaluate_teacher=not args.skip_teacher_evaluation,
    )


def _nested(options: dict[str, Any]) -> dict[str, Any]:
    """`mimic.loss_weight` as an argument of the loss `mimic`."""
    found: dict[str, Any] = {}
    for key, value in options.items():
        loss, dot, argument = key.partition('.')
        if dot:
            found.setdefault(loss, {})[argument] = value
        else:
            found[key] = value
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Write the config, and train."""
    args = parse_args(argv)
    arguments = arguments_of(args)
    if not args.dry_run:
        mmkd.distill(**arguments)
        return
    plan = mmkd.plan(**arguments)
    plan.write()
    print(plan)
    plan.check()
    print(f'{"next":<10} mmkd train {plan.path}')


if __name__ == '__main__':
    run_command(main)
