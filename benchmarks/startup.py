"""Start-up: the time of an import beyond torch, and from a command to its first training step.

Each measurement starts a fresh process. Processes run in turn, after one warm-up turn for the file
cache. Three commands train: MMDetection's tools/train.py with the demo's student, this repository's
tools/train.py with the same config, and the latter with the student's teacher, too. MMDetection's
tool runs after `import mmkd`, since its release does not import on current PyTorch. The clock stops
when the log shows the first step.

    python benchmarks/startup.py --threads 2 --repeats 9
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

from timing import Candidates, Times, in_turn, parser_of, print_table, spread, start, write_json

REPOSITORY = Path(__file__).resolve().parent.parent
STUDENT = REPOSITORY / 'configs/digits/gfl_r18w16_fpn_digits.py'
DISTILLED = REPOSITORY / 'configs/pcka/pcka_gfl_r18w48_r18w16_fpn_digits.py'
RUN_WITH_MMKD = (
    'import mmkd, runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name="__main__")'
)

Command = list[str]


def imports() -> dict[str, Command]:
    """Commands that import. The first is the reference."""
    return {name: [sys.executable, '-c', f'import {name}'] for name in ('torch', 'mmkd.functional')}


def trainings(work_dir: str) -> dict[str, Command]:
    """Commands that train. The first is the reference."""
    options = ['--work-dir', work_dir, '--cfg-options', 'default_hooks.logger.interval=1']
    mmdet = importlib.util.find_spec('mmdet')
    if mmdet is None or mmdet.origin is None:
        raise SystemExit('mmdet: expected it to be installed')
    theirs = str(Path(mmdet.origin).parent / '.mim/tools/train.py')
    ours = [sys.executable, str(REPOSITORY / 'tools/train.py')]
    return {
        "MMDetection's tools/train.py": [
            *(sys.executable, '-c', RUN_WITH_MMKD, theirs, str(STUDENT)),
            *options,
        ],
        'tools/train.py': [*ours, str(STUDENT), *options],
        'tools/train.py, with a teacher': [
            *(*ours, str(DISTILLED)),
            *(*options, 'model.teacher.checkpoint=None'),
        ],
    }


def environment(args: Namespace) -> dict[str, str]:
    """Environment of the processes: this repository first on the path, threads and device."""
    places = [str(REPOSITORY), *filter(None, [os.environ.get('PYTHONPATH')])]
    chosen = {
        'PYTHONPATH': os.pathsep.join(places),
        'PYTHONUNBUFFERED': '1',
        'OMP_NUM_THREADS': str(args.threads),
    }
    return os.environ | chosen | ({'CUDA_VISIBLE_DEVICES': ''} if args.device == 'cpu' else {})


def until_first_step(command: Command, env: dict[str, str]) -> None:
    """Run a training until it has logged a step.

    Raises:
        RuntimeError: If it ends before that. The message holds the end of its output.
    """
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        output: deque[str] = deque(maxlen=20)
        for line in process.stdout or ():
            output.append(line)
            if 'Epoch(train)' in line:
                process.kill()
                return
    raise RuntimeError(f'{command}: ended before its first step:\n{"".join(output)}')


def calls(commands: dict[str, Command], run: Callable[[Command], object]) -> Candidates:
    """Functions that run each command."""
    return {name: partial(run, command) for name, command in commands.items()}


def rows(times: Times) -> list[list[str]]:
    """Seconds of each command, and its difference from the first, turn by turn."""
    first = next(iter(times.values()))
    return [
        [name, spread(seconds), spread([s - f for s, f in zip(seconds, first, strict=True)], 2)]
        for name, seconds in times.items()
    ]


def main() -> None:
    """Measure and print."""
    args = start(parser_of(__doc__, repeats=5))
    env = environment(args)
    check = partial(subprocess.run, env=env, check=True)
    imported = in_turn(calls(imports(), check), args.repeats)
    with tempfile.TemporaryDirectory() as work_dir:
        run = partial(until_first_step, env=env)
        trained = in_turn(calls(trainings(work_dir), run), args.repeats)
    print_table(['import', 'seconds', 'difference'], rows(imported))
    print()
    print_table(['first step of', 'seconds', 'difference'], rows(trained))
    write_json(args, {'import': imported, 'first step': trained})


if __name__ == '__main__':
    main()
