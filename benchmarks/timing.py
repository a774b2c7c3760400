"""Time candidates in turn, so a busy machine slows all of them alike."""

import argparse
import json
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import torch

Candidates = Mapping[str, Callable[[], object]]
Times = dict[str, list[float]]


def parser_of(description: str, repeats: int, threads: int = 2) -> argparse.ArgumentParser:
    """Options that all speed benchmarks share.

    Args:
        description: The script's docstring.
        repeats: Default of ``--repeats``.
        threads: Default of ``--threads``.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--threads', type=int, default=threads, help=f'CPU threads (default: {threads})'
    )
    parser.add_argument(
        '--repeats', type=int, default=repeats, help=f'timed turns (default: {repeats})'
    )
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--json', type=Path, help='also write the measured times to this file')
    return parser


def start(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse and check the options, set the number of threads, and print the machine."""
    args = parser.parse_args()
    if args.threads < 1 or args.repeats < 1:
        parser.error('--threads and --repeats: expected at least 1')
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda: no CUDA device is available')
    torch.set_num_threads(args.threads)
    print(f'{machine(args)}; median (min..max) of {args.repeats}\n')
    return args


def machine(args: argparse.Namespace) -> str:
    """Kind of machine, threads and version of PyTorch."""
    device = platform.machine() if args.device == 'cpu' else torch.cuda.get_device_name()
    return f'{device}, {args.threads} threads, torch {torch.__version__}'


def in_turn(candidates: Candidates, repeats: int, device: str = 'cpu', calls: int = 1) -> Times:
    """Seconds of each candidate in each turn, after one warm-up turn.

    Args:
        candidates: Functions to call, by name.
        repeats: Number of turns.
        device: The timer waits for it if it runs asynchronously.
        calls: Calls of a candidate in a turn. The result is their mean.
    """
    for call in candidates.values():
        seconds(call, device)
    times: Times = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, call in candidates.items():
            times[name].append(seconds(call, device, calls))
    return times


def seconds(call: Callable[[], object], device: str = 'cpu', calls: int = 1) -> float:
    """Mean wall time of some calls."""
    synchronize(device)
    begin = time.perf_counter()
    for _ in range(calls):
        call()
    synchronize(device)
    return (time.perf_counter() - begin) / calls


def synchronize(device: str) -> None:
    """Wait for the device, if it runs asynchronously."""
    if device.startswith('cuda'):
        torch.cuda.synchronize()


def ratios(slow: list[float], fast: list[float]) -> list[float]:
    """How many times longer `slow` took than `fast`, turn by turn."""
    return [a / b for a, b in zip(slow, fast, strict=True)]


def spread(values: list[float], digits: int = 1) -> str:
    """Median, smallest and largest value, as ``2.0 (1.8..2.3)``."""
    middle, least, most = (
        f'{value:.{digits}f}' for value in (median(values), min(values), max(values))
    )
    return f'{middle} ({least}..{most})'


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table."""
    for cells in (header, ['---'] * len(header), *rows):
        print('| ' + ' | '.join(cells) + ' |')


def write_json(args: argparse.Namespace, measured: object) -> None:
    """Write the measured times and the machine to the file of ``--json``, if given."""
    if args.json is not None:
        report = {'machine': machine(args), 'repeats': args.repeats, 'measured': measured}
        args.json.write_text(json.dumps(report, indent=2) + '\n')
