"""What each student learned from its teacher: every method's loss for every method's student.

Run benchmarks/detection.py first. Rows are its trained students, columns the losses of the methods
on the same validation images. If a method lowers only its own column, its student has learned only
what the method compares.

    python benchmarks/distances.py work_dirs/detection/digits --seed 0
"""

import argparse
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

import mmkd.registry  # noqa: F401
from mmkd.algorithms import FrozenTeacherDistill
from mmkd.cli.experiments import checkpoint_of
from mmkd.exporting import student_state_dict
from mmkd.registry import MODELS
from mmkd.storage.checkpoint import load_all, read_state_dict

# Losses without a trained connector. A connector would fit only the student of its own run.
COLUMNS = ('pcka', 'pkd', 'cwd', 'fkd', 'rcka', 'cmkd')


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('work_dir', type=Path, help='work directory of benchmarks/detection.py')
    parser.add_argument('--seed', type=int, default=0, help='seed of the students (default: 0)')
    parser.add_argument(
        '--images', type=int, default=80, help='number of validation images (default: 80)'
    )
    return parser.parse_args()


def validation_images(cfg: Config, count: int) -> DataLoader:
    """The first images of the validation set, in the training pipeline."""
    loader = cfg.train_dataloader
    loader.pop('worker_init_fn', None)
    loader.sampler.shuffle = False
    loader.dataset = {**cfg.val_dataloader.dataset, 'pipeline': loader.dataset.pipeline}
    loader.dataset.update(test_mode=False, indices=count)
    return Runner.build_dataloader(loader, seed=0)


@torch.no_grad()
def mean_losses(algorithm: FrozenTeacherDistill, loader: DataLoader) -> dict[str, float]:
    """The distiller's losses, averaged over batches."""
    torch.manual_seed(0)  # for connectors with random weights
    sums: dict[str, float] = {}
    for batch in loader:
        data = algorithm.data_preprocessor(batch, True)
        for name, value in algorithm.loss(**data).items():
            if name.startswith('distill.'):
                key = name.removeprefix('distill.loss_').rstrip('0123456789')  # sums over levels
                sums[key] = sums.get(key, 0.0) + float(value) / len(loader)
    return sums


def main() -> None:
    """Print the table."""
    args = parse_args()
    init_default_scope('mmdet')
    runs = {
        path.stem.removesuffix(f'-seed{args.seed}'): path
        for path in sorted(args.work_dir.glob(f'*-seed{args.seed}.py'))
    }
    configs = {method: Config.fromfile(runs[method]) for method in COLUMNS if method in runs}
    algorithms = {method: MODELS.build(cfg.model).eval() for method, cfg in configs.items()}
    loader = validation_images(next(iter(configs.values())), args.images)
    for number, (student, path) in enumerate(runs.items()):
        checkpoint = str(checkpoint_of(path))
        row: dict[str, float] = {}
        for algorithm in algorithms.values():
            weights = student_state_dict(read_state_dict(checkpoint))
            load_all(algorithm.student, weights, checkpoint)
            row |= mean_losses(algorithm, loader)
        if number == 0:
            print('| student of | ' + ' | '.join(row) + ' |\n' + '|---' * (len(row) + 1) + '|')
        print(f'| {student} | ' + ' | '.join(f'{v:.3g}' for v in row.values()) + ' |', flush=True)


if __name__ == '__main__':
    main()
