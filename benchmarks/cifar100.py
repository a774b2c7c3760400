"""Compare distillation methods on CIFAR-100: pairs x methods x seeds, one table a pair.

Each run uses the config of its method and pair, configs/*/METHOD_TEACHER_STUDENT_cifar100.py. The
teacher is trained first, unless --teacher names its checkpoint. With --epochs, all runs share a
short schedule: batches of 64, and a learning rate that falls from 0.05 to 0 along a cosine.
Finished runs are kept, so you can continue an interrupted comparison. The tables show the accuracy
after the last epoch.

    python benchmarks/cifar100.py data/cifar100 --pairs resnet32x4_resnet8x4 --seeds 0 1 2
"""

import argparse
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import torch
from comparison import parser_of
from mmengine.config import Config
from published import CIFAR_PAIRS, ROWS

import mmkd.registry  # noqa: F401
from mmkd.analysis import read_run, summarize, to_markdown
from mmkd.cli.experiments import checkpoint_of, train_all, work_dir_of, write_config

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
STUDENT = 'student'
METHODS = (STUDENT, 'kd', 'dkd', 'dist', 'rkd', 'rcka', 'fkd', 'cckd', 'cmkd', 'dlkd')


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = parser_of(__doc__, METHODS)
    parser.add_argument('data', type=Path, help='folder of CIFAR-100')
    parser.add_argument(
        '--pairs',
        nargs='+',
        default=['resnet32x4_resnet8x4'],
        metavar='PAIR',
        help='TEACHER_STUDENT, as in the table published.py; all for all of them',
    )
    parser.add_argument('--epochs', type=int, help='epochs of every run (default: as published)')
    parser.add_argument('--images', type=int, help='training images of the students (default: all)')
    parser.add_argument(
        '--holdout',
        type=int,
        default=0,
        metavar='N',
        help='evaluate on N training images that no run trains on, 5000 to choose loss weights '
        '(default: 0, the test images)',
    )
    parser.add_argument(
        '--teacher-epochs', type=int, help='epochs of the teacher (default: --epochs)'
    )
    parser.add_argument(
        '--balanced',
        type=float,
        metavar='RATIO',
        help="hold each distillation loss's gradient at this ratio to the task's (LossBalanceHook)",
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs/cifar100'),
        help='folder of runs and tables',
    )
    args = parser.parse_args()
    if args.pairs == ['all']:
        args.pairs = [pair.removesuffix('_cifar100') for pair in CIFAR_PAIRS]
    return args


def config_file(method: str, pair: str) -> Path:
    """The config of a method and pair.

    Raises:
        SystemExit: If there is none. The message lists the methods that have one for this pair.
    """
    found = list(CONFIGS.rglob(f'{method}_{pair}_cifar100.py'))
    if not found:
        others = sorted(CONFIGS.rglob(f'*_{pair}_cifar100.py'))
        known = ', '.join(path.name.removesuffix(f'_{pair}_cifar100.py') for path in others)
        raise SystemExit(f'no config of {method!r} for {pair!r}; there are: {known or "none"}')
    return found[0]


def networks(pair: str) -> tuple[Path, Path]:
    """Configs of a pair's teacher and of its student.

    Raises:
        SystemExit: If there is no such pair. The message lists the known pairs.
    """
    path = CONFIGS / f'_base_/pairs/{pair}_cifar100.py'
    if not path.exists():
        known = sorted(p.stem.removesuffix('_cifar100') for p in path.parent.glob('*_cifar100.py'))
        raise SystemExit(f'no pair {pair!r}; there are: {", ".join(known)}')
    model = Config.fromfile(path).model
    teacher, student = (
        CONFIGS / part.cfg_path.removeprefix('mmkd::')
        for part in (model.teacher, model.architecture)
    )
    return teacher, student


def published_line(pair: str, methods: Sequence[str]) -> str:
    """What papers publish of these methods on this pair, at their full schedules."""
    found = {
        f'{row.method} {row.result:.2f} ({row.source})': None
        for row in ROWS
        if row.pair == f'{pair}_cifar100' and row.method in methods and row.result is not None
    }
    return f'Published: {", ".join(found)}.\n' if found else ''


def prepare(source: Path, args: argparse.Namespace, epochs: int | None) -> Config:
    """The config of a run on the given data and schedule."""
    cfg = Config.fromfile(source)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.root = str(args.data)
    if args.holdout:
        cfg.train_dataloader.dataset.num_holdout = args.holdout
        # MMEngine's runner evaluates the validation data while it trains.
        cfg.val_dataloader.dataset.update(split='train', num_holdout=args.holdout, held_out=True)
    if epochs is not None:
        cfg.train_dataloader.batch_size = 64
        cfg.optim_wrapper.optimizer.lr = 0.05
        cfg.param_scheduler = dict(
            type='CosineAnnealingLR', T_max=epochs, end=epochs, convert_to_iter_based=True
        )
        cfg.train_cfg.max_epochs = epochs
    # An evaluation on a CPU takes half as long as a short epoch.
    cfg.train_cfg.val_interval = cfg.train_cfg.max_epochs if epochs is not None else 10
    return cfg


def trained_teacher(source: Path, args: argparse.Namespace, folder: Path) -> tuple[Path, dict]:
    """Path of the teacher's weights, and its row of the table if it was trained here."""
    if args.teacher is not None:
        return args.teacher, {}
    epochs = args.teacher_epochs or args.epochs
    config = write_config(prepare(source, args, epochs), folder / 'teacher', seed=0)
    train_all({'teacher': config})
    return checkpoint_of(config), columns(config)


def columns(config: Path) -> dict[str, float]:
    """The table's columns of one run."""
    run = read_run(work_dir_of(config))
    return {**run.metrics, 'ms per step': 1000 * run.seconds / run.steps}


def compare(pair: str, args: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Train all methods and seeds of a pair, and return the table's rows."""
    folder = args.work_dir / pair
    teacher_source, student_source = networks(pair)
    sources = {
        method: student_source if method == STUDENT else config_file(method, pair)
        for method in args.methods
    }
    teacher, teacher_row = trained_teacher(teacher_source, args, folder)
    runs = {}
    for seed in args.seeds:
        for method, source in sources.items():
            cfg = prepare(source, args, args.epochs)
            cfg.train_dataloader.dataset.num_samples = args.images
            if method != STUDENT:
                cfg.model.teacher.checkpoint = str(teacher)
                if args.balanced is not None:
                    hook = dict(type='mmkd.LossBalanceHook', ratio=args.balanced, interval=50)
                    cfg.custom_hooks = [*cfg.get('custom_hooks', []), hook]
            runs[method, seed] = write_config(cfg, folder / f'{method}-seed{seed}', seed)
    train_all({f'{pair} {m} {seed}': c for (m, seed), c in runs.items()}, args.jobs, quiet=True)
    rows = {'teacher': [teacher_row]} if teacher_row else {}
    for (method, _), config in runs.items():
        rows.setdefault(method, []).append(columns(config))
    return rows


def main() -> None:
    """Train all runs, and write the tables."""
    args = parse_args()
    tables, results = [], {}
    for pair in args.pairs:
        rows = compare(pair, args)
        summary = summarize(rows)
        results[pair] = dict(runs=rows, summary=summary)
        baseline = STUDENT if STUDENT in summary else next(iter(summary))
        table = to_markdown(summary, baseline, 'top-1')
        tables.append(f'## {pair}\n\n{table}\n{published_line(pair, args.methods)}')
        print(f'\n{tables[-1]}')
    facts = dict(
        epochs=args.epochs or 'as published',
        images=args.images or 'all',
        balanced=args.balanced,
        evaluated_on=f'{args.holdout} held-out images' if args.holdout else 'test images',
        seeds=args.seeds,
        machine=f'{platform.machine()}, {os.cpu_count()} cores',
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu',
        torch=torch.__version__,
    )
    (args.work_dir / 'results.json').write_text(json.dumps({**facts, 'pairs': results}, indent=2))
    (args.work_dir / 'results.md').write_text('\n'.join(tables))


if __name__ == '__main__':
    main()
