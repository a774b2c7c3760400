"""Compare distillation methods on detectors: methods x seeds, one table.

GFL with a ResNet-18 of width 48 teaches GFL with a ResNet-18 of width 16. The data are scenes of
handwritten digits, or a folder in COCO format with train.json, val.json, train/ and val/. The
teacher is trained first, on all images. All students have the same schedule. Each run uses the
config of its method for this pair, configs/*/METHOD_gfl_r18w48_r18w16_fpn_digits.py. Finished runs
are kept, so you can continue an interrupted comparison.

    python benchmarks/detection.py --seeds 0 1 2
    python benchmarks/detection.py data/coco_person --epochs 12 --teacher-epochs 24
"""

import argparse
import json
import time
from pathlib import Path

from comparison import parser_of
from mmengine.config import Config

import mmkd.registry  # noqa: F401
from mmkd.analysis import read_run
from mmkd.analysis.results import AP_KEYS
from mmkd.cli.experiments import checkpoint_of, save_results, train_all, work_dir_of, write_config

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
TEACHER = CONFIGS / 'digits/gfl_r18w48_fpn_digits.py'
STUDENT = 'student'
METHODS = (
    STUDENT,
    'pcka',
    'pcka_mimic',
    'fkd',
    'rcka',
    'cckd',
    'cmkd',
    'dlkd',
    'cwd',
    'pkd',
    'mgd',
    'fbkd',
)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = parser_of(__doc__, METHODS)
    parser.add_argument(
        'data', type=Path, nargs='?', help='folder in COCO format (default: digits)'
    )
    parser.add_argument(
        '--epochs', type=int, default=16, help='epochs of the students (default: 16)'
    )
    parser.add_argument(
        '--teacher-epochs',
        type=int,
        help='epochs of the teacher (default: 8 on digits, else --epochs)',
    )
    parser.add_argument(
        '--images',
        type=int,
        help='training images of the students (default: 500 scenes of digits, or the whole folder)',
    )
    parser.add_argument(
        '--size', type=int, default=160, help='longer side of the images of a folder (default: 160)'
    )
    parser.add_argument(
        '--work-dir', type=Path, help='folder of runs and table (default: work_dirs/detection/DATA)'
    )
    args = parser.parse_args()
    if args.work_dir is None:
        args.work_dir = Path('work_dirs/detection', args.data.name if args.data else 'digits')
    if args.teacher_epochs is None:
        args.teacher_epochs = args.epochs if args.data else 8
    return args


def config_file(method: str) -> Path:
    """The config of a method.

    Raises:
        SystemExit: If there is none. The message lists the methods that have one.
    """
    if method == STUDENT:
        return CONFIGS / 'digits/gfl_r18w16_fpn_digits.py'
    end = '_gfl_r18w48_r18w16_fpn_digits.py'
    known = {path.name.removesuffix(end): path for path in CONFIGS.rglob(f'*{end}')}
    if method not in known:
        raise SystemExit(f'no config of {method!r}; there are: {", ".join(sorted(known))}')
    return known[method]


def prepare(source: Path, args: argparse.Namespace, epochs: int, images: int | None) -> Config:
    """The config of a run on the given data and schedule."""
    cfg = Config.fromfile(source)
    cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    cfg.param_scheduler[-1].update(end=epochs, T_max=epochs)
    if args.data is not None:
        use_folder(cfg, args.data, args.size)
        cfg.train_dataloader.dataset.indices = images
    elif images is not None:
        cfg.train_dataloader.dataset.num_images = images
    return cfg


def use_folder(cfg: Config, folder: Path, size: int) -> None:
    """Train and evaluate on a folder in COCO format, with its classes."""
    names = [c['name'] for c in json.loads((folder / 'val.json').read_text())['categories']]
    for split, loader in (
        ('train', cfg.train_dataloader),
        ('val', cfg.val_dataloader),
        ('val', cfg.test_dataloader),
    ):
        pipeline = loader.dataset.pipeline
        for transform in pipeline:
            if transform.type == 'Resize':
                transform.scale = (size, size)
        if split == 'train':
            pipeline.insert(-1, dict(type='RandomFlip', prob=0.5))
        loader.dataset = dict(
            type='CocoDataset',
            data_root=f'{folder}/',
            ann_file=f'{split}.json',
            data_prefix=dict(img=f'{split}/'),
            metainfo=dict(classes=names),
            test_mode=split == 'val',
            pipeline=pipeline,
        )
        loader.batch_sampler = dict(type='AspectRatioBatchSampler') if split == 'train' else None
    evaluator = dict(type='CocoMetric', metric='bbox', ann_file=f'{folder}/val.json')
    cfg.val_evaluator = cfg.test_evaluator = evaluator
    for model in (cfg.model.get('architecture', cfg.model), cfg.model.get('teacher')):
        if model is not None:
            model.bbox_head = {**model.get('bbox_head', {}), 'num_classes': len(names)}


def columns(config: Path) -> dict[str, float]:
    """The table's columns of one run."""
    run = read_run(work_dir_of(config))
    # Without a single detection CocoMetric gives no AP.
    metrics = dict.fromkeys(AP_KEYS, 0.0) | run.metrics
    return {**metrics, 'ms per step': 1000 * run.seconds / run.steps}


def trained_teacher(args: argparse.Namespace) -> tuple[Path, dict]:
    """Path of the teacher's weights, and its row of the table if it was trained here."""
    if args.teacher is not None:
        return args.teacher, {}
    cfg = prepare(TEACHER, args, args.teacher_epochs, None)
    config = write_config(cfg, args.work_dir / 'teacher', seed=0)
    train_all({'teacher': config}, quiet=True)
    return checkpoint_of(config), columns(config)


def main() -> None:
    """Train all runs, and write the table."""
    args = parse_args()
    start = time.perf_counter()
    sources = {method: config_file(method) for method in args.methods}
    teacher, teacher_row = trained_teacher(args)
    runs = {}
    for seed in args.seeds:
        for method, source in sources.items():
            cfg = prepare(source, args, args.epochs, args.images)
            if method != STUDENT:
                cfg.model.teacher.checkpoint = str(teacher)
            runs[method, seed] = write_config(cfg, args.work_dir / f'{method}-seed{seed}', seed)
    train_all({f'{m} {seed}': config for (m, seed), config in runs.items()}, args.jobs, quiet=True)
    rows = {'teacher': [teacher_row]} if teacher_row else {}
    for (method, _), config in runs.items():
        rows.setdefault(method, []).append(columns(config))
    save_results(
        rows,
        args.work_dir,
        'AP',
        data=str(args.data or 'digits'),
        seeds=args.seeds,
        epochs=args.epochs,
        images=args.images,
        size=args.size,
        seconds=round(time.perf_counter() - start),
    )


if __name__ == '__main__':
    main()
