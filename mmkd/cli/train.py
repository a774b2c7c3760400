"""Train a student with its teacher, or any MMDetection or MMPretrain config."""

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from mmkd.cli.command import CommandParser, run_command
from mmkd.cli.options import add_run_options, config_from


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
    if args.amp:
        from mmengine.device import get_device

        if get_device() == 'cpu':
            parser.error('--amp: expected a GPU, this machine has none')
    if args.resume not in (None, 'auto') and '://' not in args.resume:
        problem = _problem_of(Path(args.resume).expanduser())
        if problem:
            parser.error(f'--resume: expected a checkpoint, got {args.resume}, {problem}')
    return args


def _problem_of(path: Path) -> str | None:
    """Say why a path cannot be resumed from, or return None."""
    from mmkd.storage.latest_checkpoint import POINTER, is_whole

    if not path.exists():
        return 'which does not exist'
    if (path / POINTER).exists():
        return f'a work directory; write --work-dir {path} --resume'
    return None if is_whole(path) else 'which is empty or cut short'


def main(argv: Sequence[str] | None = None) -> None:
    """Train."""
    args = parse_args(argv)
    # Late, so that --help is fast.
    from mmkd.api import running
    from mmkd.pairing.writing.runtime import mixed_precision, scaled_learning_rate
    from mmkd.storage.work_dir_lock import lock_work_dir

    cfg = config_from(args)
    if args.amp:
        cfg.merge_from_dict(mixed_precision(cfg))
    if args.auto_scale_lr:
        cfg.merge_from_dict(scaled_learning_rate(cfg))
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    # The other processes of a launcher are known only later: there, the runner takes the lock.
    with lock_work_dir(cfg.work_dir) if args.launcher == 'none' else nullcontext():
        running.train(running.build_runner(cfg))
    running.close_process_group()


if __name__ == '__main__':
    run_command(main)
