"""Several training runs as processes side by side; what is already trained is kept."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mmkd.analysis import read_run, summarize, to_markdown
from mmkd.storage.latest_checkpoint import named_checkpoint


def write_config(cfg: Config, work_dir: Path, seed: int) -> Path:
    """Write the config of one run beside its work directory.

    If another config stands there, the work directory is that of another experiment, which is
    forgotten.

    Args:
        cfg: The experiment; ``work_dir`` and ``randomness`` are set here.
        work_dir: Folder of the run.
        seed: Of the run.

    Returns:
        The file, ``<work_dir>.py``.
    """
    cfg.work_dir = str(work_dir)
    cfg.randomness = dict(seed=seed)
    path = work_dir.with_name(f'{work_dir.name}.py')
    if path.exists() and path.read_text() != cfg.pretty_text:
        (work_dir / 'last_checkpoint').unlink(missing_ok=True)
    work_dir.mkdir(parents=True, exist_ok=True)
    path.write_text(cfg.pretty_text)
    return path


def work_dir_of(config: Path) -> Path:
    """The work directory of a written config."""
    return config.with_suffix('')


def checkpoint_of(config: Path) -> Path:
    """The last checkpoint of a trained config.

    Raises:
        FileNotFoundError: If the run has none.
    """
    checkpoint = named_checkpoint(work_dir_of(config))
    if checkpoint is None:
        raise FileNotFoundError(f'work_dir: expected a trained run in {work_dir_of(config)}')
    return checkpoint


def finished(config: Path) -> bool:
    """Whether this very config was trained and evaluated before."""
    last = named_checkpoint(work_dir_of(config))
    epochs = Config.fromfile(config).train_cfg.max_epochs
    if last is None or last.name != f'epoch_{epochs}.pth':
        return False
    return read_run(work_dir_of(config)).evaluated_at == epochs


def train_all(configs: Mapping[str, Path], jobs: int | None = None, *, quiet: bool = False) -> None:
    """Train those of some written configs that are not finished.

    Args:
        configs: Files by the names under which their progress is shown.
        jobs: How many at the same time, sharing the cores; default all.
        quiet: Show only the evaluations.

    Raises:
        SystemExit: If one fails, with the end of its output. Those that run are waited for.
    """
    waiting = {name: config for name, config in configs.items() if not finished(config)}
    if not waiting:
        return
    jobs = min(jobs or len(waiting), len(waiting))
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        runs = [
            pool.submit(_train, name, config, threads, quiet) for name, config in waiting.items()
        ]
    for run in runs:
        run.result()


def _train(name: str, config: Path, threads: int, quiet: bool) -> None:
    """Train in a process, keep its output in the work directory, and show its progress."""
    log = work_dir_of(config) / 'log.txt'
    process = subprocess.Popen(
        [sys.executable, '-m', 'mmkd.cli.train', str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Threads that wait without spinning: on a busy machine the others get the cores.
        env={
            **os.environ,
            'OMP_NUM_THREADS': str(threads),
            'OMP_WAIT_POLICY': 'PASSIVE',
            'PYTHONUNBUFFERED': '1',
        },
    )
    with process, log.open('w') as file:
        for line in process.stdout or ():
            file.write(line)
            if ('Epoch(val)' if quiet else 'Epoch(') in line:
                print(f'[{name}] {line.partition("INFO - ")[2] or line}', end='', flush=True)
    if process.returncode:
        raise SystemExit(f'{name} failed, see {log}:\n{log.read_text()[-3000:]}')


def machine_facts() -> dict[str, str]:
    """What results say about the machine that measured them."""
    return dict(
        machine=f'{platform.machine()}, {os.cpu_count()} cores',
        device='cuda' if torch.cuda.is_available() else 'cpu',
        torch=torch.__version__,
    )


def save_results(
    rows: Mapping[str, Sequence[Mapping[str, float]]],
    work_dir: Path,
    gain_in: str,
    **facts: Any,
) -> None:
    """Write results.json and results.md of a comparison, and print the table.

    Gains are over the method ``student``, the student alone, or the first if that was not run.

    Args:
        rows: For each method the columns of its runs.
        work_dir: Where to write.
        gain_in: Column of the gain.
        **facts: About the comparison, for results.json; the machine is added.
    """
    summary = summarize(rows)
    table = to_markdown(
        summary, 'student' if 'student' in summary else next(iter(summary)), gain_in
    )
    machine = machine_facts()
    (work_dir / 'results.json').write_text(
        json.dumps(dict(facts=facts | machine, runs=rows, summary=summary), indent=2) + '\n'
    )
    (work_dir / 'results.md').write_text(table + '\n')
    print(f'\n{table}\n')
