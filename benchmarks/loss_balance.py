"""Do balanced gradients save a short schedule from weights that were made for a long one?

RCKA and FKD on the embedded handwritten digits, 400 steps: the student alone, the weights of the
digits' configs, the published weights, and the published weights with LossBalanceHook. The teacher
is trained first. Finished runs are kept.

    python benchmarks/loss_balance.py --seeds 0 1 2
"""

import argparse
import time
from pathlib import Path
from typing import Any

from mmengine.config import Config

import mmkd.registry  # noqa: F401
from mmkd.analysis import read_run
from mmkd.cli.experiments import checkpoint_of, save_results, train_all, work_dir_of, write_config

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
PUBLISHED: dict[str, dict[str, Any]] = {
    'rcka': dict(loss_weight=5.0),
    'fkd': dict(kernel_weight=300.0, regularization_weight=20.0),
}


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--ratios', type=float, nargs='+', default=[1.0])
    parser.add_argument('--jobs', type=int, default=1, help='runs at the same time (default: 1)')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/loss_balance'))
    return parser.parse_args()


def distillation(
    method: str, teacher: str, *, published: bool = False, ratio: float | None = None
) -> Config:
    """The config of a distillation on digits."""
    cfg = Config.fromfile(CONFIGS / f'{method}/{method}_resnet14_resnet8_digits.py')
    cfg.model.teacher.checkpoint = teacher
    if published:
        for loss in cfg.model.distiller.losses.values():
            loss.update(PUBLISHED[method])
    if ratio is not None:
        hook = dict(type='mmkd.LossBalanceHook', ratio=ratio, interval=50)
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), hook]
    return cfg


def experiments(teacher: str, ratios: list[float]) -> dict[str, Config]:
    """The config of each row."""
    rows = {'student': Config.fromfile(CONFIGS / 'digits/resnet8_digits.py')}
    for method in PUBLISHED:
        rows[method] = distillation(method, teacher)
        rows[f'{method}-published'] = distillation(method, teacher, published=True)
        for ratio in ratios:
            cfg = distillation(method, teacher, published=True, ratio=ratio)
            rows[f'{method}-published-balanced-{ratio:g}'] = cfg
    return rows


def main() -> None:
    """Train all runs, and write the table."""
    args = parse_args()
    start = time.perf_counter()
    source = Config.fromfile(CONFIGS / 'digits/resnet14_digits.py')
    teacher = write_config(source, args.work_dir / 'teacher', seed=0)
    train_all({'teacher': teacher}, quiet=True)
    runs = {
        (name, seed): write_config(cfg, args.work_dir / f'{name}-seed{seed}', seed)
        for seed in args.seeds
        for name, cfg in experiments(str(checkpoint_of(teacher)), args.ratios).items()
    }
    train_all({f'{name} {seed}': run for (name, seed), run in runs.items()}, args.jobs, quiet=True)
    rows: dict[str, list[dict[str, float]]] = {}
    for (name, _), config in runs.items():
        top1 = read_run(work_dir_of(config)).metrics['top-1']
        rows.setdefault(name, []).append({'top-1': top1})
    seconds = round(time.perf_counter() - start)
    save_results(rows, args.work_dir, 'top-1', seeds=args.seeds, seconds=seconds)


if __name__ == '__main__':
    main()
