"""How long a training step waits for data, and how fast the data loader is alone.

Each run trains with the config's own data loader and hooks, without validation and checkpoints. The
teacher's weights are random. The share of waiting is MMEngine's `data_time` divided by its `time`,
after a few warm-up steps. The time of the loader alone includes the start of its workers.

    python benchmarks/data_time.py --workers 0 2 8
    python benchmarks/data_time.py configs/baselines/kd/kd_resnet32x4_resnet8x4_cifar100.py
"""

import copy
import tempfile
import time
from argparse import Namespace
from itertools import islice
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import Runner
from timing import parser_of, print_table, spread, start, write_json

import mmkd.registry  # noqa: F401
from mmkd.api.running import build_runner, load_config
from mmkd.cli.options import add_config_options

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
DISTILLED = CONFIGS / 'pcka/pcka_gfl_r18w48_r18w16_fpn_digits.py'
WARM_UP = 5

Measured = dict[str, list[float]]


def parse() -> Namespace:
    """Parse the command line."""
    parser = parser_of(__doc__, repeats=3)
    parser.add_argument(
        'config',
        nargs='?',
        default=str(DISTILLED),
        help='config to train (default: PCKA on scenes of digits)',
    )
    parser.add_argument(
        '--workers',
        type=int,
        nargs='+',
        help="numbers of workers to compare (default: the config's)",
    )
    parser.add_argument(
        '--steps', type=int, default=40, help='steps measured in each turn (default: 40)'
    )
    add_config_options(parser)
    args = start(parser)
    if args.device != get_device():
        parser.error(f'--device: MMEngine trains on {get_device()} here')
    return args


def training(args: Namespace) -> Config:
    """The config, shortened to a few training steps."""
    cfg = load_config(args.config, args.cfg_options)
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=WARM_UP + args.steps)
    for part in ('cfg', 'dataloader', 'evaluator'):
        cfg[f'val_{part}'] = cfg[f'test_{part}'] = None
    cfg.default_hooks.checkpoint = None
    cfg.log_processor = dict(by_epoch=False)
    cfg.visualizer = None
    cfg.log_level = 'WARNING'
    if 'teacher' in cfg.model:
        cfg.model.teacher.checkpoint = None
    return cfg


def measure(cfg: Config, workers: int, name: str) -> dict[str, float]:
    """Mean milliseconds of a step, of waiting for data, and of a batch without training."""
    cfg = copy.deepcopy(cfg)
    cfg.experiment_name = name
    cfg.train_dataloader.num_workers = workers
    if workers == 0:
        cfg.train_dataloader.persistent_workers = False
    with tempfile.TemporaryDirectory() as cfg.work_dir:
        runner = build_runner(cfg)
        steps = cfg.train_cfg.max_iters
        if steps > len(runner.train_dataloader):
            raise SystemExit(
                f'--steps: expected at most {len(runner.train_dataloader) - WARM_UP}, the steps of '
                f'an epoch without {WARM_UP} for warm-up, got {steps - WARM_UP}'
            )
        runner.train()
    return {
        'step': mean_of_log(runner, 'time'),
        'waiting': mean_of_log(runner, 'data_time'),
        'loader alone': loading(runner, steps),
    }


def mean_of_log(runner: Runner, name: str) -> float:
    """Mean of a value that MMEngine logged after the warm-up, in milliseconds."""
    seconds, _ = runner.message_hub.get_scalar(f'train/{name}').data
    return 1e3 * float(seconds[WARM_UP:].mean())


def loading(runner: Runner, batches: int) -> float:
    """Mean time of a batch of the training loader, in milliseconds."""
    begin = time.perf_counter()
    for _ in islice(runner.train_dataloader, batches):
        pass
    return 1e3 * (time.perf_counter() - begin) / batches


def row(workers: int, measured: Measured) -> list[str]:
    """One line of the table."""
    pairs = zip(measured['step'], measured['waiting'], strict=True)
    return [
        str(workers),
        *(spread(measured[name]) for name in ('step', 'waiting', 'loader alone')),
        spread([100 * waiting / step for step, waiting in pairs]),
    ]


def main() -> None:
    """Measure each number of workers in turn, and print."""
    args = parse()
    cfg = training(args)
    numbers = args.workers or [cfg.train_dataloader.num_workers]
    times: dict[int, Measured] = {number: {} for number in numbers}
    for turn in range(args.repeats):
        for number, measured in times.items():
            for name, value in measure(cfg, number, f'{number} workers, {turn}').items():
                measured.setdefault(name, []).append(value)
    print_table(
        ['workers', 'step, ms', 'waiting, ms', 'loader alone, ms', 'waiting, %'],
        [row(number, measured) for number, measured in times.items()],
    )
    write_json(args, times)


if __name__ == '__main__':
    main()
