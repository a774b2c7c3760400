"""How much do images without labels help? Students with a part of the labels, two tables.

Detectors: YOLOX-nano, trained on COCO, teaches the student of benchmarks/detector_pairs.py on a
folder in COCO format (train.json, val.json, train/, val/). Of the training images some keep their
annotations. The rest is unlabeled. All students take the same number of steps.

    python benchmarks/fewer_labels.py detectors data/coco_person --teacher yolox_nano_coco.pth

Classifiers: a part of CIFAR-100's labels, and the other images unlabeled, in memory.

    python benchmarks/fewer_labels.py classifiers data/cifar100 --teacher resnet20.pth

The table is written after each run. Finished runs are kept, so the same command continues an
interrupted comparison, and with other seeds or labels it extends the table.
"""

import argparse
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detector_pairs import persons, shrunk
from mmengine.config import Config

import mmkd
from mmkd.analysis import read_run
from mmkd.analysis.results import AP_KEYS
from mmkd.analysis.summary_table import paired_gain
from mmkd.cli.experiments import checkpoint_of, train_all, work_dir_of, write_config

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
ALONE, LABELED, ALL = 'student alone', 'distilled', 'distilled, with unlabeled images'
Scores = dict[tuple[int, str], dict[int, float]]  # by labels and row, then by seed


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest='kind', required=True)
    detectors, classifiers = kinds.add_parser('detectors'), kinds.add_parser('classifiers')
    for each in (detectors, classifiers):
        each.add_argument('data', type=Path)
        each.add_argument('--teacher', type=Path, required=True, help='checkpoint of the teacher')
        each.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
        each.add_argument('--work-dir', type=Path, default=Path('work_dirs/fewer_labels'))
    detectors.add_argument('--labels', type=int, nargs='+', default=[100, 200, 400, 800])
    detectors.add_argument('--method', default='pkd')
    detectors.add_argument('--steps', type=int, default=2400)
    detectors.add_argument('--size', type=int, default=256, help='longer side of the images')
    detectors.add_argument('--batch-size', type=int, default=16)
    classifiers.add_argument(
        '--labels', type=int, nargs='+', default=[5, 10, 25, 50, 100], help='percent'
    )
    classifiers.add_argument('--pair', default='resnet20_resnet8')
    classifiers.add_argument('--method', default='kd')
    classifiers.add_argument('--steps', type=int, default=4000)
    classifiers.add_argument('--batch-size', type=int, default=64)
    return parser.parse_args()


def with_labels(folder: Path, count: int, target: Path) -> Path:
    """Write the annotations of some training images; more contain the fewer."""
    content = json.loads((folder / 'train.json').read_text())
    images = sorted(content['images'], key=lambda image: image['id'])
    random.Random(0).shuffle(images)
    if not 0 < count <= len(images):
        raise SystemExit(f'--labels: expected 1 to {len(images)}, got {count}')
    content['images'] = images[:count]
    kept = {image['id'] for image in images[:count]}
    content['annotations'] = [a for a in content['annotations'] if a['image_id'] in kept]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content))
    return target


def detector_runs(args: argparse.Namespace) -> Iterator[tuple[int, str, int, float]]:
    """Train one student after the other. Yields labels, row, seed and AP."""
    folder = shrunk(args.data, args.size, args.work_dir / 'data')
    for seed in args.seeds:
        for count in args.labels:
            work_dir = args.work_dir / f'labels{count}'
            annotations = with_labels(folder, count, work_dir / 'train.json')
            epochs = max(1, round(args.steps / math.ceil(count / args.batch_size)))
            everything = len(json.loads((folder / 'train.json').read_text())['images'])
            pair = persons(folder, epochs, args.size)
            rows: dict[str, dict[str, Any]] = {
                ALONE: dict(method='student'),
                LABELED: dict(method=args.method),
                ALL: dict(method=args.method, unlabeled=folder / 'train'),
            }
            for row, options in rows.items():
                if row == ALL and count == everything:
                    continue
                result = mmkd.distill(
                    teacher=pair.teacher,
                    teacher_checkpoint=args.teacher,
                    student=pair.student,
                    data=dict(
                        train=(annotations, folder / 'train'),
                        val=(folder / 'val.json', folder / 'val'),
                    ),
                    batch_size=args.batch_size,
                    seeds=seed,
                    work_dir=work_dir,
                    evaluate_teacher=False,
                    resume=True,
                    **options,
                )
                # Without a single detection CocoMetric gives no AP.
                yield count, row, seed, 100 * result.metrics['student'].get(AP_KEYS['AP'], 0.0)


def classifier_config(args: argparse.Namespace, percent: int, row: str) -> Config:
    """The config of a classifier with a part of the labels."""
    pair = f'{args.pair}_cifar100'
    if row == ALONE:
        source = Config.fromfile(CONFIGS / f'_base_/pairs/{pair}.py').model.architecture.cfg_path
        source = CONFIGS / source.removeprefix('mmkd::')
    else:
        source = next(CONFIGS.rglob(f'{args.method}_{pair}.py'))
    cfg = Config.fromfile(source)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.root = str(args.data)
    images = 50_000
    rest = images - images * percent // 100
    cfg.train_dataloader.batch_size = args.batch_size
    cfg.train_dataloader.dataset.num_holdout = rest
    epochs = max(1, round(args.steps * args.batch_size / (images - rest)))
    cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    cfg.optim_wrapper.optimizer.lr = 0.05
    cfg.param_scheduler = dict(
        type='CosineAnnealingLR', T_max=epochs, end=epochs, convert_to_iter_based=True
    )
    if row != ALONE:
        cfg.model.teacher.checkpoint = str(args.teacher.resolve())
    if row == ALL:
        unlabeled = Config(dict(loader=cfg.train_dataloader)).to_dict()['loader']
        unlabeled['dataset'].update(held_out=True)
        cfg.train_cfg.update(type='mmkd.UnlabeledTrainLoop', unlabeled_dataloader=unlabeled)
        cfg.train_cfg.pop('by_epoch', None)
        cfg.model.pseudo_labels = dict(weight=0.0)
    return cfg


def classifier_runs(args: argparse.Namespace) -> Iterator[tuple[int, str, int, float]]:
    """Train one student after the other. Yields percent of the labels, row, seed and accuracy."""
    for seed in args.seeds:
        for percent in args.labels:
            for number, row in enumerate((ALONE, LABELED, ALL)):
                if row == ALL and percent == 100:
                    continue
                cfg = classifier_config(args, percent, row)
                folder = args.work_dir / f'{args.pair}-{percent}-{number}-seed{seed}'
                config = write_config(cfg, folder, seed)
                train_all({f'{percent} % {row}, seed {seed}': config}, quiet=True)
                checkpoint_of(config)
                yield percent, row, seed, read_run(work_dir_of(config)).metrics['top-1']


def table_of(scores: Scores, unit: str) -> str:
    """The table: a line for each number of labels."""
    head = ['labels', ALONE, LABELED, ALL, 'gain of the unlabeled images', 'seeds']
    lines = ['| ' + ' | '.join(head) + ' |', '|---' * len(head) + '|']
    for count in sorted({count for count, _ in scores}):
        of = {row: scores.get((count, row), {}) for row in (ALONE, LABELED, ALL)}
        cells = [f'{sum(v.values()) / len(v):.1f}' if v else '' for v in of.values()]
        both = sorted(of[ALL].keys() & of[LABELED].keys())
        pairs = [[of[row][seed] for seed in both] for row in (ALL, LABELED)]
        gain = str(paired_gain(*pairs)) if both else ''
        seeds = max(len(v) for v in of.values())
        lines.append(f'| {count}{unit} | ' + ' | '.join([*cells, gain, str(seeds)]) + ' |')
    return '\n'.join(lines)


def main() -> None:
    """Train all runs, and write the table after each."""
    args = parse_args()
    args.work_dir = args.work_dir.resolve() / args.kind
    runs, unit = (detector_runs, '') if args.kind == 'detectors' else (classifier_runs, ' %')
    scores: Scores = {}
    for count, row, seed, value in runs(args):
        scores.setdefault((count, row), {})[seed] = value
        (args.work_dir / 'results.md').write_text(table_of(scores, unit) + '\n')
        print(table_of(scores, unit), flush=True)


if __name__ == '__main__':
    main()
