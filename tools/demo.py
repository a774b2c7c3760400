"""Train a teacher and students on scenes of digits, and compare them.

All students see the same scenes: alone, alone for twice as long, with PCKA, and with the recipe,
which is several losses at once. Finished runs are kept. The demo writes results.json, results.md,
report.html, curves.png and detections.png into the work directory.
"""

import argparse
import os
import time
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

import mmkd
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
STUDENT = CONFIGS / 'digits/gfl_r18w16_fpn_digits.py'
PCKA = CONFIGS / 'pcka/pcka_gfl_r18w48_r18w16_fpn_digits.py'
ALONE, LONGER, WITH_PCKA, RECIPE = 'student', 'student, 2x', 'student + PCKA', 'student + recipe'
ROWS = (ALONE, LONGER, WITH_PCKA, RECIPE)
QUICK_ROWS = (ALONE, RECIPE)
FOLDERS = {
    ALONE: 'student',
    LONGER: 'student_2x',
    WITH_PCKA: 'student_pcka',
    RECIPE: 'student_recipe',
}
# Epochs with --quick: most of the time goes to the teacher, as a weak one has nothing to teach.
QUICK_EPOCHS = dict(teacher=4, student=4)
QUICK_WIDTH = 32  # of the teacher, instead of 48
PICTURED = range(4)  # the first validation scenes


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = CommandParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--quick',
        action='store_true',
        help='a smaller teacher, fewer epochs, and of the students two: alone and with the recipe',
    )
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


def set_epochs(cfg: Config, epochs: int) -> None:
    """Give a run another number of epochs."""
    cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    cfg.param_scheduler[-1].update(end=epochs, T_max=epochs)


def trained_teacher(work_dir: Path, quick: bool) -> Path:
    """Train the teacher unless that is done, and return the path of its config."""
    print(f'== teacher -> {work_dir}', flush=True)
    cfg = Config.fromfile(TEACHER)
    if quick:
        set_epochs(cfg, QUICK_EPOCHS['teacher'])
        cfg.model.backbone.base_channels = QUICK_WIDTH
        cfg.model.neck.in_channels = [2 * QUICK_WIDTH, 4 * QUICK_WIDTH, 8 * QUICK_WIDTH]
    config = write_config(cfg, work_dir, 0)
    train_all({'teacher': config})
    return config.resolve()


def student_settings(row: str, teacher: Path) -> Config:
    """The config of a row, before its schedule is changed."""
    if row == WITH_PCKA:
        cfg = Config.fromfile(PCKA)
        cfg.model.teacher.update(cfg_path=str(teacher), checkpoint=str(checkpoint_of(teacher)))
        return cfg
    if row != RECIPE:
        return Config.fromfile(STUDENT)
    plan = mmkd.plan(
        teacher=teacher,
        teacher_checkpoint=checkpoint_of(teacher),
        student=STUDENT,
        method='recipe',
        evaluate_teacher=False,
        work_dir=teacher.parent / 'recipe',
    )
    return Config.fromfile(plan.write())


def write_student_config(
    row: str, work_dir: Path, seed: int, *, quick: bool, teacher: Path
) -> Path:
    """Write the config of one run beside its work directory."""
    cfg = student_settings(row, teacher)
    if quick:
        set_epochs(cfg, QUICK_EPOCHS['student'])
    if row == LONGER:
        set_epochs(cfg, 2 * cfg.train_cfg.max_epochs)
    similar = dict(cfg_path=str(teacher), checkpoint=str(checkpoint_of(teacher)))
    cfg.custom_hooks = [
        *cfg.get('custom_hooks', []),
        dict(type='mmkd.FeatureSimilarityHook', teacher=similar, patch_size=4),
    ]
    return write_config(cfg, work_dir, seed)


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
    names = QUICK_ROWS if args.quick else ROWS
    teacher = trained_teacher(args.work_dir / 'teacher', args.quick)
    rows = {
        'teacher': [columns(read_run(args.work_dir / 'teacher'))],
        **{name: [] for name in names},
    }
    for seed in args.seeds:
        folder = args.work_dir / f'seed{seed}'
        folders = {name: folder / FOLDERS[name] for name in names}
        print(f'== students, seed {seed} -> {folder}', flush=True)
        train_all(
            {
                name: write_student_config(name, path, seed, quick=args.quick, teacher=teacher)
                for name, path in folders.items()
            },
            jobs=os.cpu_count(),
        )
        runs = {name: read_run(path) for name, path in folders.items()}
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
