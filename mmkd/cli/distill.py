"""Distill a student from a teacher without writing a config: mmkd writes it.

Both models run once on a black image. Their outputs tell which levels, features or logits the
method compares. The config, WORK_DIR/METHOD_TEACHER_STUDENT.py, inherits data and schedule from the
student's config. Edit it, and run it again with `mmkd train`. Several methods or seeds, and the
student alone, end in one table. Finished runs are kept: the same command shows their results again.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmkd
from mmkd.cli.command import CommandParser, run_command
from mmkd.cli.config_options import ConfigOptions
from mmkd.cli.options import add_config_options, add_launcher

# Of mmkd.pairing.methods, whose import would make --help slow.
DETECTOR_METHODS = (
    'recipe, pcka, pcka-mimic, mimic, pkd, cwd, mgd, rcka, fkd, cckd, dlkd, kd, dist, cmkd, '
    'scores, boxes'
)
CLASSIFIER_METHODS = 'kd, dkd, dist, rkd, rcka, fkd, cckd, cmkd, dlkd'


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
        nargs='+',
        metavar='METHOD',
        help=f'one or several; for detectors {DETECTOR_METHODS}; '
        f'for classifiers {CLASSIFIER_METHODS} (default: pkd, dist)',
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
    data.add_argument(
        '--no-val',
        action='store_true',
        help='no validation (default: without validation data, a tenth of the training images)',
    )
    unlabeled = parser.add_argument_group('images without annotations')
    unlabeled.add_argument(
        '--unlabeled',
        metavar='DIR',
        help='learn from these images as well, as the teacher sees them',
    )
    unlabeled.add_argument(
        '--unlabeled-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='batch_size=8; for detectors score=0.3 (smallest score of a box), weight=1.0 (of the '
        "losses on these boxes), classes.NAME=name (teacher's and student's)",
    )
    parser.add_argument('--epochs', type=int, help='the schedule is stretched to them')
    parser.add_argument(
        '--image-size', type=int, nargs='+', metavar='SIDE', help='side of a square, or H W'
    )
    parser.add_argument(
        '--batch-size', type=int, help='images per process; the learning rate is scaled with it'
    )
    parser.add_argument(
        '--seeds', type=int, nargs='+', metavar='SEED', help='train with each, e.g. 0 1 2'
    )
    parser.add_argument(
        '--baseline', action='store_true', help='also train the student alone, to compare with'
    )
    parser.add_argument(
        '--resume', action='store_true', help='continue the runs that were interrupted'
    )
    parser.add_argument('--tensorboard', action='store_true', help='log for TensorBoard, too')
    parser.add_argument(
        '--no-report', action='store_true', help='do not write report.html at the end'
    )
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs'), help='of the config')
    parser.add_argument(
        '--dry-run',
        action='store_true',
        help='write the config and take one step with it, do not train',
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
    if args.no_val and (args.val_ann or not (args.ann or args.data)):
        parser.error('--no-val: expected --data or --ann without --val-ann')
    if args.unlabeled_options and not args.unlabeled:
        parser.error('--unlabeled-options: expected --unlabeled beside it')
    if args.work_dir.exists() and not args.work_dir.is_dir():
        parser.error(f'--work-dir: expected a folder, got the file {args.work_dir}')
    if args.seeds and len({*args.seeds}) < len(args.seeds):
        parser.error(f'--seeds: expected each seed once, got {args.seeds}')
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
    if args.no_val:
        data = dict(data if args.ann else dict(root=args.data), val=None)
    unlabeled: Any = args.unlabeled
    if args.unlabeled_options:
        unlabeled = dict(_nested(args.unlabeled_options), images=unlabeled)
    size = args.image_size
    same = ['teacher', 'student', 'teacher_checkpoint', 'epochs', 'batch_size', 'work_dir', 'amp']
    same += ['auto_scale_lr', 'seeds', 'baseline', 'resume', 'tensorboard', 'launcher']
    return dict(
        **{name: getattr(args, name) for name in same},
        method=args.method[0] if args.method and len(args.method) == 1 else args.method,
        data=data,
        unlabeled=unlabeled,
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
        mmkd.distill(**arguments, report=not args.no_report)
        return
    from mmkd.api.arguments import checked_seeds
    from mmkd.api.training import plans_of

    checked_seeds(args.seeds)
    # Runs that differ in their seed alone take the same step.
    plans = plans_of(**{**arguments, 'seeds': (args.seeds or [None])[0]})
    for plan in plans:
        new = plan.absent()
        plan.write()
        print(plan)
        try:
            print(f'{"checked":<10} {plan.check()}')
        except BaseException:
            for path in new:  # so that they do not stand in the way of the next try
                path.unlink()
            raise
    following = 'the same command without --dry-run'
    if len(plans) == 1 and not args.seeds:
        following = f'mmkd train {plans[0].path}'
    print(f'{"next":<10} {following}')


if __name__ == '__main__':
    run_command(main)
