"""Speed of PCKA, forward and backward, against a loop over channels.

Prints how many times longer each loop takes, per pyramid level and over the pyramid. The loops
and ours are timed in turn, so that a busy machine weighs on all of them; a ratio is taken within
one repeat.

    python benchmarks/pcka_speed.py --threads 2 --repeats 5
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional as F

from mmkd.functional import fitting_patch_size, pcka

BATCH, CHANNELS, PATCH, MIN_PATCHES = 2, 256, 16, 4
SIZES = ((100, 168), (50, 84), (25, 42), (13, 21))  # strides 8 to 64 of an 800 x 1333 image
OURS = 'mmkd'

Distance = Callable[[Tensor, Tensor], Tensor]
Times = dict[str, list[float]]


def ours(student: Tensor, teacher: Tensor) -> Tensor:
    """Distance as `PCKALoss` computes it."""
    return 1 - pcka(student, teacher, PATCH, min_patches=MIN_PATCHES)


def indexing_loop(student: Tensor, teacher: Tensor) -> Tensor:
    """The obvious loop; backward of each index fills a map of zeros."""
    distances = [channel_distance(student[:, c], teacher[:, c]) for c in range(student.shape[1])]
    return torch.stack(distances).mean()


def unbound_loop(student: Tensor, teacher: Tensor) -> Tensor:
    """The same loop over `unbind`, whose backward is one stack."""
    channels = zip(student.unbind(1), teacher.unbind(1), strict=True)
    return torch.stack([channel_distance(s, t) for s, t in channels]).mean()


def channel_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - CKA between the patches of one channel; each map is (B, H, W)."""
    x, y = channel_patches(student), channel_patches(teacher)
    x, y = x - x.mean(0), y - y.mean(0)
    k, l = x @ x.T, y @ y.T  # noqa: E741
    return 1 - (k * l).sum() / (k.norm() * l.norm())


def channel_patches(feature: Tensor) -> Tensor:
    """Patches of one channel, (N, B p p), by resizing and cutting."""
    batch, height, width = feature.shape
    p = fitting_patch_size((height, width), PATCH, MIN_PATCHES)
    assert p is not None
    rows, columns = -(-height // p), -(-width // p)
    if (height, width) != (rows * p, columns * p):
        size = (rows * p, columns * p)
        feature = F.interpolate(feature[:, None], size, mode='bilinear')[:, 0]
    grid = feature.reshape(batch, rows, p, columns, p)
    return grid.permute(1, 3, 0, 2, 4).reshape(rows * columns, -1)


CANDIDATES: dict[str, Distance] = {
    OURS: ours,
    'indexing loop': indexing_loop,
    'unbound loop': unbound_loop,
}


def step(distance: Distance, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Value and the student's gradient."""
    value = distance(student, teacher)
    return value.detach(), torch.autograd.grad(value, student)[0]


def check_agreement(student: Tensor, teacher: Tensor) -> None:
    """Every candidate computes the same; this also warms up."""
    value, gradient = step(ours, student, teacher)
    for name, distance in CANDIDATES.items():
        other_value, other_gradient = step(distance, student, teacher)
        error = (other_gradient - gradient).abs().max() / gradient.abs().max()
        if abs(other_value - value) > 1e-5 or error > 1e-4:
            raise RuntimeError(f'{name} disagrees: gradient off by {error:.1e} of its maximum')


def timed(distance: Distance, student: Tensor, teacher: Tensor) -> float:
    """Seconds for one forward and backward."""
    synchronize(student)
    start = time.perf_counter()
    step(distance, student, teacher)
    synchronize(student)
    return time.perf_counter() - start


def synchronize(tensor: Tensor) -> None:
    """Wait for the device, if it runs asynchronously."""
    if tensor.is_cuda:
        torch.cuda.synchronize()


def measure(size: tuple[int, int], repeats: int, device: str) -> Times:
    """Seconds of every candidate on one level, in each of ``repeats`` turns."""
    generator = torch.Generator().manual_seed(0)
    student, noise = torch.randn(2, BATCH, CHANNELS, *size, generator=generator).to(device)
    teacher = student + noise
    student.requires_grad_()
    check_agreement(student, teacher)
    seconds: Times = {name: [] for name in CANDIDATES}
    for _ in range(repeats):
        for name, distance in CANDIDATES.items():
            seconds[name].append(timed(distance, student, teacher))
    return seconds


def total(levels: list[Times]) -> Times:
    """Seconds for the whole pyramid, turn by turn."""
    return {
        name: [sum(turn) for turn in zip(*(level[name] for level in levels), strict=True)]
        for name in CANDIDATES
    }


def ratios(seconds: Times, name: str) -> list[float]:
    """How many times longer than ours a candidate took, turn by turn."""
    return [slow / fast for slow, fast in zip(seconds[name], seconds[OURS], strict=True)]


def table(results: dict[str, Times]) -> str:
    """Markdown table: median ratio and its range."""
    loops = [name for name in CANDIDATES if name != OURS]
    lines = [
        '| level | ' + ' | '.join(f'{name} / {OURS}' for name in loops) + ' |',
        '|---|' + '---|' * len(loops),
    ]
    for label, seconds in results.items():
        cells = []
        for name in loops:
            values = ratios(seconds, name)
            cells.append(f'{median(values):.1f} ({min(values):.1f}..{max(values):.1f})')
        lines.append(f'| {label} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--threads', type=int, default=2, help='CPU threads (default: 2)')
    parser.add_argument('--repeats', type=int, default=5, help='timed turns (default: 5)')
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--json', type=Path, help='also write every time, in seconds, here')
    args = parser.parse_args()
    if args.threads < 1 or args.repeats < 1:
        parser.error('--threads and --repeats: expected at least 1')
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda: no CUDA device is available')
    return args


def main() -> None:
    """Measure, print, and write if asked."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    levels = {f'{h} x {w}': measure((h, w), args.repeats, args.device) for h, w in SIZES}
    results = {**levels, 'all': total(list(levels.values()))}
    print(
        f'{BATCH} x {CHANNELS} channels, patch {PATCH}, forward and backward; {args.device}, '
        f'{args.threads} threads, torch {torch.__version__}; median (min..max) of {args.repeats}\n'
    )
    print(table(results))
    if args.json:
        report = {
            'machine': platform.machine(),
            'torch': torch.__version__,
            'device': args.device,
            'threads': args.threads,
            'seconds': results,
            'ratios': {
                label: {name: ratios(seconds, name) for name in CANDIDATES if name != OURS}
                for label, seconds in results.items()
            },
        }
        args.json.write_text(json.dumps(report, indent=2) + '\n')


if __name__ == '__main__':
    main()
