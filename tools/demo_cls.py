"""Compare all methods and the common baselines on the embedded handwritten digits.

The teacher trains on all training digits. The students train on a few of them, alone and with each
method. Finished runs are kept. The demo writes results.json, results.md and report.html into the
work directory.
"""

import argparse
import os
import time
from pathlib import Path

from mmengine.config import Config

import mmkd.registry  # noqa: F401
from mmkd.analysis import read_run
from mmkd.cli.command import CommandParser, run_command
from mmkd.cli.experiments import checkpoint_of, save_results, train_all, work_dir_of, write_config
from mmkd.reporting import report

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
TEACHER = CONFIGS / 'digits/resnet14_digits.py'
STUDENT = CONFIGS / 'digits/resnet8_digits.py'
METHODS = {
    'KD': 'baselines/kd/kd',
    'DKD': 'baselines/dkd/dkd',
    'DIST': 'baselines/dist/dist',
    'RKD': 'baselines/rkd/rkd',
    'RCKA': 'rcka/rcka',
    'FKD': 'fkd/fkd',
    'CCKD': 'cckd/cckd',
    'CMKD': 'cmkd/cmkd',
    'DLKD': 'dlkd/dlkd',
}


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--seeds',
        type=int,
        nargs='+',
        default=[0, 1, 2],
        help='seeds of the students (default: 0 1 2)',
    )
    parser.add_argument(
        '--methods',
        nargs='+',
        choices=METHODS,
        default=[*METHODS],
        help='methods to compare (default: all)',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        default=os.cpu_count() or 1,
        help='runs at the same time (default: one a core)',
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs/digits-cls'),
        help='folder of runs and results',
    )
    return parser.parse_args()


def student_configs(args: argparse.Namespace, teacher: Path) -> dict[tuple[str, int], Path]:
    """Write the config of each run of a student."""
    sources = {'student': STUDENT}
    for method in args.methods:
        sources[method] = CONFIGS / f'{METHODS[method]}_resnet14_resnet8_digits.py'
    configs = {}
    for seed in args.seeds:
        for method, source in sources.items():
            cfg = Config.fromfile(source)
            if 'teacher' in cfg.model:
                cfg.model.teacher.checkpoint = str(teacher)
            folder = args.work_dir / f'{method.lower()}-seed{seed}'
            configs[method, seed] = write_config(cfg, folder, seed)
    return configs


def columns(config: Path) -> dict[str, float]:
    """The table's columns of one run."""
    run = read_run(work_dir_of(config))
    return {'top-1': run.metrics['top-1'], 'ms per step': 1000 * run.seconds / run.steps}


def main() -> None:
    """Run the comparison."""
    args = parse_args()
    start = time.perf_counter()
    teacher = write_config(Config.fromfile(TEACHER), args.work_dir / 'teacher', seed=0)
    train_all({'teacher': teacher}, quiet=True)
    students = student_configs(args, checkpoint_of(teacher))
    names = {f'{method}, seed {seed}': config for (method, seed), config in students.items()}
    train_all(names, args.jobs, quiet=True)
    rows = {'teacher': [columns(teacher)]}
    for (method, _), config in students.items():
        rows.setdefault(method, []).append(columns(config))
    seconds = round(time.perf_counter() - start)
    save_results(rows, args.work_dir, 'top-1', seeds=args.seeds, seconds=seconds)
    folders = [work_dir_of(config) for config in (teacher, *students.values())]
    print(report(*folders, out=args.work_dir / 'report.html'))


if __name__ == '__main__':
    run_command(main)
