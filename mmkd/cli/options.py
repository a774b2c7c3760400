"""Options that the command line tools share, and how they change a config."""

import argparse
import gc
import os
import os.path as osp

import torch.distributed as dist
from mmengine.config import Config, DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import Runner


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add config, work directory, config options and launcher."""
    parser.add_argument('config', help='config file, or mmkd::path/of/config.py')
    parser.add_argument('--work-dir', help='folder for logs, checkpoints and results')
    add_config_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes were started',
    )
    # torchrun's predecessors pass the rank as an option.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. train_cfg.max_epochs=12 '
        'model.distiller.distill_losses.loss_pcka.loss_weight=5',
    )


def load_config(path: str, options: dict | None = None) -> Config:
    """Load a config file or ``mmkd::`` config and merge the options into it."""
    if '::' in path:
        path = Config._get_cfg_path(path, '')[0]
    cfg = Config.fromfile(path)
    if options:
        cfg.merge_from_dict(options)
    return cfg


def config_from(args: argparse.Namespace) -> Config:
    """The config that the parsed options of :func:`add_run_options` describe."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = osp.join('work_dirs', osp.splitext(osp.basename(args.config))[0])
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Build the runner, MMEngine's or the one that the config names."""
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def close_process_group() -> None:
    """Leave the process group, if any: its threads may abort a process that ends without it."""
    if dist.is_initialized():
        gc.collect()  # what is left of a runner, in reference cycles, holds the group as well
        dist.destroy_process_group()
