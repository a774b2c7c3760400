"""Which method to take: all of them on two pairs of detectors, with paired intervals.

`digits` trains its teacher. `persons` needs the folder coco_person and a checkpoint of YOLOX-nano.
Each run is added to the results file as it ends, and is not repeated, so you can stop the command
and go on with it later.

    python benchmarks/which_method.py digits --seeds 0 1 2
    python benchmarks/which_method.py persons --data data/coco_person --teacher yolox_nano.pth
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from detector_pairs import DetectorPair, digits, persons, shrunk

import mmkd
from mmkd.analysis import read_run
from mmkd.analysis.results import AP_KEYS
from mmkd.analysis.summary_table import summarize, to_markdown
from mmkd.cli.experiments import checkpoint_of, machine_facts, train_all, write_config
from mmkd.pairing.methods import DETECTOR_METHODS
from mmkd.storage.atomic_write import write_atomically

RESULTS = Path(__file__).resolve().parent / 'results'
EPOCHS = dict(digits=6, persons=72)  # of the students
PERSONS_SIZE = 256  # longer side in pixels
ALONE, LONGER = 'student', 'student, twice the epochs'
Runs = dict[str, dict[str, dict[str, float]]]  # row -> seed -> columns


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('pair', choices=[*EPOCHS])
    parser.add_argument('--data', type=Path, help='folder coco_person')
    parser.add_argument('--teacher', type=Path, help='checkpoint of the teacher')
    parser.add_argument(
        '--rows',
        nargs='+',
        default=[ALONE, LONGER, *DETECTOR_METHODS],
        help='default: the student alone, with twice the epochs, and all methods',
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--epochs', type=int, help=f'of the students (default: {EPOCHS})')
    parser.add_argument('--jobs', type=int, default=1, help='runs at the same time (default: 1)')
    parser.add_argument('--work-dir', type=Path, help='default: work_dirs/which_method/PAIR')
    parser.add_argument('--results', type=Path, help='default: benchmarks/results/PAIR.json')
    args = parser.parse_args()
    if args.pair == 'persons' and not (args.data and args.teacher):
        parser.error('persons: expected --data and --teacher')
    args.epochs = args.epochs or EPOCHS[args.pair]
    args.work_dir = args.work_dir or Path('work_dirs/which_method', args.pair)
    args.results = args.results or RESULTS / f'{args.pair}.json'
    return args


def pair_of(args: argparse.Namespace, factor: int = 1) -> DetectorPair:
    """The pair, with a multiple of its epochs."""
    epochs = factor * args.epochs
    if args.pair == 'digits':
        return digits(epochs)
    return persons(shrunk(args.data, PERSONS_SIZE, args.work_dir / 'data'), epochs, PERSONS_SIZE)


def trained_teacher(args: argparse.Namespace) -> Path:
    """The teacher's checkpoint; it is trained if none is given."""
    if args.teacher:
        return args.teacher
    config = write_config(pair_of(args).teacher, args.work_dir / 'teacher', seed=0)
    train_all({'teacher': config}, quiet=True)
    return checkpoint_of(config)


def planned(row: str, seed: int, teacher: Path, args: argparse.Namespace) -> mmkd.Plan:
    """The plan of one run."""
    pair = pair_of(args, 2 if row == LONGER else 1)
    return mmkd.plan(
        teacher=pair.teacher,
        teacher_checkpoint=teacher,
        student=pair.student,
        method=ALONE if row == LONGER else row,
        seed=seed,
        work_dir=args.work_dir / row.replace(', ', '_').replace(' ', '-'),
        evaluate_teacher=False,
        **pair.data,
    )


def missing(args: argparse.Namespace, runs: Runs) -> Iterator[tuple[str, int]]:
    """Rows and seeds without a result, seed by seed."""
    for seed in args.seeds:
        for row in args.rows:
            if str(seed) not in runs.get(row, {}):
                yield row, seed


def columns(work_dir: Path) -> dict[str, float]:
    """The table's columns of one run."""
    # Without a single detection CocoMetric gives no AP.
    metrics = dict.fromkeys(AP_KEYS, 0.0) | read_run(work_dir).metrics
    return {name: round(value, 2) for name, value in metrics.items()}


def table(runs: Runs) -> str:
    """The rows that have the seeds of the student alone, with gains over it."""
    seeds = sorted(runs[ALONE], key=int)
    whole = {row: of for row, of in runs.items() if set(seeds) <= of.keys()}
    order = [ALONE, *(row for row in whole if row != ALONE)]
    rows = {row: [whole[row][seed] for seed in seeds] for row in order}
    summary = summarize(rows)
    best_first = sorted(order[1:], key=lambda row: -summary[row]['AP']['mean'])
    return to_markdown({row: summary[row] for row in (ALONE, *best_first)}, ALONE)


def save(results: Path, facts: Mapping[str, Any], runs: Runs) -> None:
    """Write the results, and print the table."""
    results.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(dict(facts=facts, runs=runs), indent=1) + '\n'
    write_atomically(text.encode(), results)
    if ALONE in runs:
        print(f'\n{table(runs)}\n', flush=True)


def main() -> None:
    """Train what is missing, and write the results after every few runs."""
    args = parse_args()
    runs: Runs = json.loads(args.results.read_text())['runs'] if args.results.exists() else {}
    teacher = trained_teacher(args)
    facts = dict(machine_facts(), epochs=args.epochs)
    waiting = [*missing(args, runs)]
    for start in range(0, len(waiting), args.jobs):
        plans = {run: planned(*run, teacher, args) for run in waiting[start : start + args.jobs]}
        train_all({f'{row} {seed}': p.write() for (row, seed), p in plans.items()}, quiet=True)
        for (row, seed), plan in plans.items():
            runs.setdefault(row, {})[str(seed)] = columns(plan.work_dir)
        save(args.results, facts, runs)
    save(args.results, facts, runs)


if __name__ == '__main__':
    main()
