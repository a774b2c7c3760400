"""Train a student with its teacher, or any MMDetection or MMPretrain config."""

import argparse
from collections.abc import Sequence

from mmengine.device import get_device

from mmkd.api import running
from mmkd.api.running import build_runner, close_process_group
from mmkd.cli.command import CommandParser, run_command
from mmkd.cli.options import add_run_options, config_from
from mmkd.pairing.writing.runtime import mixed_precision, scaled_learning_rate


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = CommandParser(description=__doc__)
    add_run_options(parser)
    parser.add_argument('--amp', action='store_true', help='train with mixed precision (GPU)')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate by the total batch size over the config's base batch size",
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from a checkpoint (default: the latest in the work directory)',
    )
    args = parser.parse_args(argv)
    if args.amp and get_device() == 'cpu':
        parser.error('--amp: expected a GPU, this machine has none')
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Train."""
    args = parse_args(argv)
    cfg = config_from(args)
    if args.amp:
        cfg.merge_from_dict(mixed_precision(cfg))
    if args.auto_scale_lr:
        cfg.merge_from_dict(scaled_learning_rate(cfg))
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    running.train(build_runner(cfg))
    close_process_group()


if __name__ == '__main__':
    run_command(main)
