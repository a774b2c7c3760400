"""Train a student with its teacher, or any MMDetection or MMPretrain config."""

import argparse
from collections.abc import Sequence

from mmengine.config import Config
from mmengine.device import get_device

import mmkd.registry  # noqa: F401
from mmkd.cli.options import (
    add_run_options,
    build_runner,
    close_process_group,
    config_from,
)
from mmkd.cli.unreadable_images import explain_unreadable_images
from mmkd.hooks import explain_empty_datasets


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_run_options(parser)
    parser.add_argument('--amp', action='store_true', help='train with mixed precision (GPU)')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate by the batch over all processes / the config's base batch",
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from a checkpoint; without one, from the latest in the work directory',
    )
    args = parser.parse_args(argv)
    if args.amp and get_device() == 'cpu':
        parser.error('--amp: expected a GPU, this machine has none')
    return args


def _mixed_precision(cfg: Config) -> None:
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def _scale_learning_rate(cfg: Config) -> None:
    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        raise ValueError('--auto-scale-lr: expected auto_scale_lr.base_batch_size in the config')
    cfg.auto_scale_lr.enable = True


def main(argv: Sequence[str] | None = None) -> None:
    """Train."""
    args = parse_args(argv)
    cfg = config_from(args)
    if args.amp:
        _mixed_precision(cfg)
    if args.auto_scale_lr:
        _scale_learning_rate(cfg)
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    with explain_empty_datasets(), explain_unreadable_images():
        build_runner(cfg).train()
    close_process_group()


if __name__ == '__main__':
    main()
