r"""Every figure of a GPU, in one program with a time budget.

The parts run one after the other, the most valuable first, each in a process of its own with a time
limit. After each part, the results are in gpu.json and gpu.md, so a cut loses one part. A part that
is measured on this machine is not repeated: run the command again to go on. A part that needs data
is left out without it. With `--device cpu` it rehearses all parts at tiny sizes; those numbers mean
nothing.

    python benchmarks/gpu.py --minutes 9
    python benchmarks/gpu.py --minutes 30 --cifar100 data/cifar100 \
        --persons data/coco_person --yolox yolox_nano_coco.pth
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mmkd.storage.atomic_write import write_atomically

HERE = Path(__file__).resolve().parent
TESTS = ('tests/gpu', 'tests/compat/test_mmcv_ext.py')
DONE, CUT, FAILED = 'done', 'cut at its time limit', 'failed'
SHORTEST = 10  # seconds; less is left for no part
CIFAR_PAIRS = ('resnet32x4_resnet8x4', 'resnet20_resnet8')

Record = dict[str, Any]


class Part(NamedTuple):
    """One process.

    Attributes:
        name: Its key in the results.
        title: What it measures.
        seconds: Its time limit on a GPU.
        command: Arguments of Python.
        needs: The option without which it is left out, if that is missing.
        report: A Markdown file that it writes; else the tables of its output count.
    """

    name: str
    title: str
    seconds: int
    command: tuple[str, ...]
    needs: str | None = None
    report: Path | None = None


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--minutes', type=float, default=9, help='for all parts (default: 9)')
    parser.add_argument('--device', choices=('cuda', 'cpu'), default='cuda')
    parser.add_argument('--only', nargs='+', metavar='PART', help='parts to run (default: all)')
    parser.add_argument('--cifar100', type=Path, metavar='DIR', help='folder of CIFAR-100')
    parser.add_argument('--persons', type=Path, metavar='DIR', help='folder coco_person')
    parser.add_argument('--yolox', type=Path, metavar='FILE', help='checkpoint of YOLOX-nano')
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/gpu'), help='of results and runs'
    )
    args = parser.parse_args()
    if not args.minutes > 0:
        parser.error(f'--minutes: expected a positive number, got {args.minutes:g}')
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda: no CUDA device is available; --device cpu rehearses')
    if (args.persons is None) != (args.yolox is None):
        parser.error('--persons and --yolox: expected both or neither')
    args.work_dir = args.work_dir.resolve()
    names = [part.name for part in parts_of(args)]
    for name in args.only or ():
        if name not in names:
            parser.error(f'--only: expected some of {", ".join(names)}, got {name}')
    return args


def parts_of(args: argparse.Namespace) -> list[Part]:
    """All parts, the most valuable first."""
    coco, gfl, *large_batches = steps(args)
    first_cifar, *others = cifar(args, 0)
    return [
        *(tests(), *pcka(args), coco, teacher(args), first_cifar, detectors(args, 0), gfl),
        *(*functions(args), *large_batches, *others),
        *(part for seed in (1, 2) for part in (*cifar(args, seed), detectors(args, seed))),
    ]


def tests() -> Part:
    """Part (a)."""
    quiet = ('-q', '-rA', '-W', 'ignore', '-p', 'no:cacheprovider')
    return Part('tests', 'Tests that need a GPU', 90, ('-m', 'pytest', *TESTS, *quiet))


def pcka(args: argparse.Namespace) -> list[Part]:
    """Part (b)."""
    size = ('--batch', '3', '--repeats', '15')
    if not on_gpu(args):
        size = ('--batch', '1', '--repeats', '1', '--channels', '2')
    return [
        speed(args, f'pcka-{p}', f'PCKA, {p}', 60, 'pcka_speed.py', '--precision', p, *size)
        for p in ('tf32', 'bf16', 'fp32')
    ]


def steps(args: argparse.Namespace) -> list[Part]:
    """Part (c), whole steps."""
    every = ('pcka', 'pcka_mimic', 'rcka', 'fkd', 'cckd', 'cmkd', 'dlkd')
    parts = []
    for kind, batch in (('coco', 2), ('gfl', 2), ('coco', 8), ('gfl', 8)):
        methods = every if batch == 2 else ('pcka', 'dlkd')
        size = ('--amp', '--repeats', '9')
        if not on_gpu(args):
            methods, size = ('pcka',), ('--repeats', '1', '--size', '64', '96')
        options = ('--models', kind, '--batch', str(batch), '--methods', *methods, *size)
        title = f'Training steps of {kind}, {batch} images'
        parts.append(speed(args, f'step-{kind}-{batch}', title, 100, 'step_time.py', *options))
    return parts


def teacher(args: argparse.Namespace) -> Part:
    """Part (c), the teacher."""
    options = ('--models', 'x101', '--repeats', '15')
    if not on_gpu(args):
        options = ('--models', 'digits', '--repeats', '1', '--eager')
    return speed(args, 'teacher', "The teacher's options", 90, 'teacher_speed.py', *options)


def functions(args: argparse.Namespace) -> list[Part]:
    """Parts (d) and (g)."""
    repeats = ('--repeats', '9' if on_gpu(args) else '1')
    plot = ('--plot', str(args.work_dir / 'growth.png'))
    few = () if on_gpu(args) else ('--functions', 'supervised_contrastive')
    return [
        speed(args, 'ranks', 'Soft ranks', 30, 'rank_speed.py', *repeats),
        speed(args, 'growth', 'Growth', 90, 'growth.py', *repeats, *plot, *few),
    ]


def cifar(args: argparse.Namespace, seed: int) -> list[Part]:
    """Part (e): published weights, then balanced ones. All seeds up to this one."""
    size = ('--epochs', '4', '--teacher-epochs', '6', '--jobs', '8')
    if not on_gpu(args):
        size = ('--epochs', '1', '--images', '128', '--methods', 'student', 'kd')
    parts = []
    for name, weights in (('published', ()), ('balanced', ('--balanced', '1'))):
        folder = args.work_dir / f'cifar100-{name}'
        for pair in CIFAR_PAIRS:
            options = (
                *(str(args.cifar100), '--pairs', pair, *size, *weights, *seeds_to(seed)),
                *('--work-dir', str(folder)),
            )
            parts.append(
                Part(
                    f'cifar100-{name}-{pair}-{seed + 1}',
                    f'CIFAR-100, {pair}, {name} weights, {seed + 1} seeds',
                    180,
                    (str(HERE / 'cifar100.py'), *options),
                    needs=None if args.cifar100 else '--cifar100',
                    report=folder / 'results.md',
                )
            )
    return parts


def detectors(args: argparse.Namespace, seed: int) -> Part:
    """Part (f). All seeds up to this one."""
    size = ('--epochs', '24', '--jobs', '8')
    if not on_gpu(args):
        size = ('--epochs', '1', '--rows', 'student')
    folder = args.work_dir / 'persons'
    options = (
        *('persons', '--data', str(args.persons), '--teacher', str(args.yolox), *size),
        *(*seeds_to(seed), '--work-dir', str(folder), '--results', str(folder / 'results.json')),
    )
    return Part(
        f'persons-{seed + 1}',
        f'YOLOX-nano to a quarter of it, {seed + 1} seeds',
        240,
        (str(HERE / 'which_method.py'), *options),
        needs=None if args.persons else '--persons and --yolox',
    )


def speed(
    args: argparse.Namespace, name: str, title: str, seconds: int, script: str, *options: str
) -> Part:
    """A part that is a benchmark of speed, with what all of them share."""
    shared = ('--device', args.device, '--json', str(json_of(args, name)))
    return Part(name, title, seconds, (str(HERE / script), *shared, *options))


def on_gpu(args: argparse.Namespace) -> bool:
    """Whether this is no rehearsal."""
    return args.device == 'cuda'


def seeds_to(seed: int) -> tuple[str, ...]:
    """The option for all seeds up to one. Runs that are finished are kept."""
    return ('--seeds', *map(str, range(seed + 1)))


def json_of(args: argparse.Namespace, name: str) -> Path:
    """Where a part writes what it measured."""
    return args.work_dir / f'{name}.json'


def run(part: Part, limit: float, args: argparse.Namespace) -> Record:
    """Run a part in a process of its own, and kill it and its children at the limit."""
    log, measured = args.work_dir / f'{part.name}.log', json_of(args, part.name)
    for stale in (measured, part.report):
        if stale is not None:
            stale.unlink(missing_ok=True)
    begin = time.monotonic()
    with log.open('w') as file:
        process = subprocess.Popen(
            [sys.executable, *part.command],
            cwd=HERE.parent,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, 'PYTHONUNBUFFERED': '1'},
        )
        try:
            status = FAILED if process.wait(limit) else DONE
        except subprocess.TimeoutExpired:
            status = CUT
        finally:
            kill_group(process)
    text = part.report if part.report and part.report.exists() else log
    record = dict(
        title=part.title,
        machine=machine(args),
        status=status,
        seconds=round(time.monotonic() - begin, 1),
        command=' '.join(('python', *part.command)),
        tables=tables_of(text.read_text()),
        measured=json.loads(measured.read_text()) if measured.exists() else None,
    )
    if status == FAILED:
        record['end'] = log.read_text()[-1500:]
    return record


def kill_group(process: subprocess.Popen) -> None:
    """End what is left of a part: its children may outlive it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def tables_of(text: str) -> str:
    """The last table of each kind in a text, with the lines of pytest's summary."""
    blocks: dict[str, list[str]] = {}
    header = ''
    for line in text.splitlines():
        kept = line.startswith(('|', '## ', 'Lower bound: ', 'PASSED ', 'FAILED ', 'SKIPPED '))
        if not kept:
            header = ''
            continue
        if not header:
            header = line
            blocks[header] = []
        blocks[header].append(line if line.startswith('|') else f'{line}\n')
    return '\n\n'.join('\n'.join(lines) for lines in blocks.values())


def machine(args: argparse.Namespace) -> str:
    """Kind of machine and version of PyTorch."""
    kind = torch.cuda.get_device_name() if on_gpu(args) else f'{platform.machine()}, rehearsal'
    return f'{kind}, torch {torch.__version__}'


def save(records: dict[str, Record], parts: list[Part], args: argparse.Namespace) -> None:
    """Write the results of all parts."""
    path = args.work_dir / 'gpu.json'
    write_atomically((json.dumps(records, indent=1) + '\n').encode(), path)
    lines = ['# Figures of a GPU', '']
    for part in parts:
        record = records.get(part.name)
        state = 'Not run yet.'
        if record is not None:
            state = f'{record["status"]}, {record["seconds"]} s, {record["machine"]}'
        lines += [f'## {part.title}', '', state, '']
        if record is not None and record['tables']:
            lines += [record['tables'], '']
    write_atomically('\n'.join(lines).encode(), path.with_suffix('.md'))


def main() -> None:
    """Run what is missing, and write the results after each part."""
    args = parse_args()
    deadline = time.monotonic() + 60 * args.minutes
    args.work_dir.mkdir(parents=True, exist_ok=True)
    path = args.work_dir / 'gpu.json'
    records: dict[str, Record] = json.loads(path.read_text()) if path.exists() else {}
    parts = parts_of(args)
    for part in parts:
        old = records.get(part.name, {})
        if args.only and part.name not in args.only:
            continue
        if old.get('status') == DONE and old['machine'] == machine(args):
            print(f'{part.name}: measured before', flush=True)
            continue
        left = deadline - time.monotonic()
        if part.needs:
            print(f'{part.name}: left out without {part.needs}', flush=True)
            continue
        if left < SHORTEST:
            print(f'{part.name}: no time left; run the command again', flush=True)
            continue
        limit = min(left, part.seconds) if on_gpu(args) else left
        records[part.name] = run(part, limit, args)
        save(records, parts, args)
        print(f'{part.name}: {records[part.name]["status"]}', flush=True)
    save(records, parts, args)
    print(f'\nResults: {path.with_suffix(".md")}')
    failed = [name for name, record in records.items() if record['status'] == FAILED]
    if failed:
        sys.exit(f'failed: {", ".join(failed)}; see {args.work_dir}/PART.log')


if __name__ == '__main__':
    main()
