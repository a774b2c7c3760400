"""Options that several subcommands share, and how they change a config."""

import argparse
import os
import os.path as osp
from typing import Any

from mmkd.cli.config_options import ConfigOptions


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add config, work directory, config options and launcher."""
    parser.add_argument('config', help='config file, or mmkd::path/of/config.py')
    parser.add_argument('--work-dir', help='folder for logs, checkpoints and results')
    add_config_options(parser)
    add_launcher(parser)


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher``."""
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes were started (default: %(default)s)',
    )
    # The predecessors of torchrun pass the rank as an option.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. train_cfg.max_epochs=12 '
        'model.distiller.losses.pcka.loss_weight=5',
    )


def config_from(args: argparse.Namespace) -> Any:
    """Return the config that the parsed options of :func:`add_run_options` describe."""
    from mmkd.api.running import load_config  # late, so that --help is fast

    if 'launcher' in (args.cfg_options or {}):
        raise ValueError('--cfg-options launcher: expected --launcher, which would replace it')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = osp.join('work_dirs', osp.splitext(osp.basename(args.config))[0])
    return cfg
