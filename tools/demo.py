"""Train a teacher, a student alone and a student with PCKA on scenes of digits, and compare them.

The two students train side by side with the same budget. Finished runs are kept. The demo writes
results.json, results.md, report.html, curves.png and detections.png into the work directory.
"""

import argparse
import time
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

import mmkd.registry  # noqa: F401
from mmkd.analysis import (
    Run,
    draw_detections,
    plot_curves,
    read_run,
)
from mmkd.cli.command import CommandParser, run_command
from mmkd.cli.experiments import checkpoint_of, save_results, train_all, write_config
from mmkd.exporting import student_config, student_state_dict
from mmkd.models.building import build_model
from mmkd.registry import DATASETS
from mmkd.reporting import report
from mmkd.storage.checkpoint import load_all, read_state_dict

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
TEACHER = CONFIGS / 'digits/gfl_r18w48_fpn_digits.py'
STUDENTS = {
    'student': CONFIGS / 'digits/gfl_r18w16_fpn_digits.py',
    'student + PCKA': CONFIGS / 'pcka/pcka_gfl_r18w48_r18w16_fpn_digits.py',
}
QUICK = 4  # --quick divides the epochs by this
PICTURED = range(4)  # the first validation scenes


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true', help=f'train 1/{QUICK} of the epochs')
    parser.add_argument(
        '--seeds', type=int, nargs='+', default=[0], help='seeds of the students (default: 0)'
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        help='folder of runs and results (default: work_dirs/digits[-quick])',
    )
    args = parser.parse_args()
    if args.work_dir is None:
        args.work_dir = Path('work_dirs', 'digits-quick' if args.quick else 'digits')
    return args


def shorten(cfg: Config) -> None:
    """Give a run fewer epochs."""
    epochs = cfg.train_cfg.max_epochs // QUICK
    cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    cfg.param_scheduler[-1].update(end=epochs, T_max=epochs)


def write_demo_config(
    source: Path, work_dir: Path, seed: int, *, quick: bool, teacher: Path | None = None
) -> Path:
    """Write the config of one run beside its work directory."""
    cfg = Config.fromfile(source)
    if quick:
        shorten(cfg)
    if teacher is not None:
        if 'teacher' in cfg.model:
            cfg.model.teacher.checkpoint = str(teacher)
        teacher_config = dict(cfg_path=str(TEACHER), checkpoint=str(teacher))
        cfg.custom_hooks.append(
            dict(type='mmkd.FeatureSimilarityHook', teacher=teacher_config, patch_size=4)
        )
    return write_config(cfg, work_dir, seed)


def trained_teacher(work_dir: Path, quick: bool) -> Path:
    """Train the teacher unless that is done, and return the path of its weights."""
    print(f'== teacher -> {work_dir}', flush=True)
    config = write_demo_config(TEACHER, work_dir, 0, quick=quick)
    train_all({'teacher': config})
    return checkpoint_of(config)


def columns(run: Run) -> dict[str, float]:
    """The table's columns of one run."""
    return {**run.metrics, 'seconds': run.seconds}


def draw(folders: dict[str, Path], path: Path) -> None:
    """Draw the detections of the trained models."""
    models = {}
    for name, folder in folders.items():
        cfg = student_config(Config.fromfile(folder.with_suffix('.py')))
        init_default_scope(cfg.default_scope)
        checkpoint = str(checkpoint_of(folder.with_suffix('.py')))
        models[name] = build_model(cfg.model)
        load_all(models[name], student_state_dict(read_state_dict(checkpoint)), checkpoint)
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    draw_detections(models, dataset, PICTURED, path)


def main() -> None:
    """Run the demo."""
    args = parse_args()
    start = time.perf_counter()
    teacher = trained_teacher(args.work_dir / 'teacher', args.quick)
    rows = {
        'teacher': [columns(read_run(args.work_dir / 'teacher'))],
        **{name: [] for name in STUDENTS},
    }
    for seed in args.seeds:
        folders = {
            name: args.work_dir / f'seed{seed}' / name.replace(' + ', '_').lower()
            for name in STUDENTS
        }
        print(f'== students, seed {seed} -> {args.work_dir / f"seed{seed}"}', flush=True)
        train_all(
            {
                name: write_demo_config(
                    source, folders[name], seed, quick=args.quick, teacher=teacher
                )
                for name, source in STUDENTS.items()
            }
        )
        runs = {name: read_run(folder) for name, folder in folders.items()}
        for name, run in runs.items():
            rows[name].append(columns(run))
    plot_curves(runs, args.work_dir / 'curves.png')
    draw({'teacher': args.work_dir / 'teacher', **folders}, args.work_dir / 'detections.png')
    seconds = round(time.perf_counter() - start)
    save_results(rows, args.work_dir, 'AP', seeds=args.seeds, quick=args.quick, seconds=seconds)
    seeds = [args.work_dir / f'seed{seed}' for seed in args.seeds]
    page = report(args.work_dir / 'teacher', *seeds, out=args.work_dir / 'report.html')
    for name in ('results.md', 'results.json', 'curves.png', 'detections.png', page.name):
        print(args.work_dir / name)


if __name__ == '__main__':
    run_command(main)
