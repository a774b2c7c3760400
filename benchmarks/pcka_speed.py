"""Speed and memory of PCKA, forward and backward, against loops over channels and a lower bound.

For each pyramid level and the whole pyramid, the first table shows how many times longer the loops
and the plain computation of all channels at once take than `mmkd.functional.pcka`, and how many
times longer ours takes than the lower bound. Lower bound: the slower of (a) reading both maps and
writing one gradient, (b) three products of patches and N x N matrices. The second table is for one
step over the pyramid: the peak memory, gradient included, in sizes of the student's maps, and the
elements that operators read and write, in units of (a).

    python benchmarks/pcka_speed.py --threads 2 --repeats 7
"""

import argparse
from collections.abc import Callable

import torch
from counting import ElementCounter
from timing import Times, in_turn, parser_of, print_table, ratios, spread, start, write_json
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from mmkd.functional import fitting_patch_size, pcka, to_patches
from mmkd.functional.kernel_alignment.patches import Patching
from mmkd.functional.kernel_alignment.pcka import whole_pcka

CHANNELS, PATCH, MIN_PATCHES = 256, 16, 4
SIZES = ((100, 168), (50, 84), (25, 42), (13, 21))  # strides 8 to 64 of an 800 x 1333 image
OURS = 'mmkd'

Distance = Callable[[Tensor, Tensor], Tensor]
Pyramid = list[tuple[Tensor, Tensor]]


def ours(student: Tensor, teacher: Tensor) -> Tensor:
    """Distance as `PCKALoss` computes it."""
    return 1 - pcka(student, teacher, PATCH, min_patches=MIN_PATCHES)


def all_at_once(student: Tensor, teacher: Tensor) -> Tensor:
    """The plain computation, which ours uses for small maps."""
    patch_size = patch_size_of(student)
    return 1 - whole_pcka(student, teacher, Patching(patch_size, 'channel', 'resize'))


def indexing_loop(student: Tensor, teacher: Tensor) -> Tensor:
    """The obvious loop. The backward pass of each index fills a map of zeros."""
    distances = [channel_distance(student[:, c], teacher[:, c]) for c in range(student.shape[1])]
    return torch.stack(distances).mean()


def unbound_loop(student: Tensor, teacher: Tensor) -> Tensor:
    """The same loop over `unbind`, whose backward pass is one stack."""
    channels = zip(student.unbind(1), teacher.unbind(1), strict=True)
    return torch.stack([channel_distance(s, t) for s, t in channels]).mean()


def channel_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - CKA between the patches of one channel; each map is (B, H, W)."""
    x, y = channel_patches(student), channel_patches(teacher)
    x, y = x - x.mean(0), y - y.mean(0)
    k, l = x @ x.T, y @ y.T  # noqa: E741
    return 1 - (k * l).sum() / (k.norm() * l.norm())


def patch_size_of(feature: Tensor) -> int:
    """Patch size of a level."""
    fitting = fitting_patch_size(tuple(feature.shape[-2:]), PATCH, MIN_PATCHES)
    assert fitting is not None
    return fitting


def channel_patches(feature: Tensor) -> Tensor:
    """Patches of one channel, (N, B p p), by resizing and cutting."""
    batch, height, width = feature.shape
    p = patch_size_of(feature)
    rows, columns = -(-height // p), -(-width // p)
    if (height, width) != (rows * p, columns * p):
        size = (rows * p, columns * p)
        feature = F.interpolate(feature[:, None], size, mode='bilinear')[:, 0]
    grid = feature.reshape(batch, rows, p, columns, p)
    return grid.permute(1, 3, 0, 2, 4).reshape(rows * columns, -1)


DISTANCES: dict[str, Distance] = {
    OURS: ours,
    'all at once': all_at_once,
    'unbound loop': unbound_loop,
    'indexing loop': indexing_loop,
}
PASS, PRODUCTS = 'read and write', 'products'


def step(distance: Distance, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Value and the student's gradient."""
    value = distance(student, teacher)
    return value.detach(), torch.autograd.grad(value, student)[0]


def lower_bound(student: Tensor, teacher: Tensor) -> dict[str, Callable[[], object]]:
    """The lower bound: one pass over the maps, and the products of ready patches."""
    source, target = student.detach(), teacher
    gradient = torch.empty_like(source)
    x, y = (to_patches(feature, patch_size_of(feature)) for feature in (source, target))
    k = x @ x.mT
    return {
        PASS: lambda: torch.add(source, target, out=gradient),
        PRODUCTS: lambda: (x @ x.mT, y @ y.mT, k @ x),
    }


def check_agreement(student: Tensor, teacher: Tensor) -> None:
    """Raise unless all candidates give the same value and gradient."""
    value, gradient = step(ours, student, teacher)
    for name, distance in DISTANCES.items():
        other_value, other_gradient = step(distance, student, teacher)
        error = (other_gradient - gradient).abs().max() / gradient.abs().max()
        if abs(other_value - value) > 1e-5 or error > 1e-4:
            raise RuntimeError(f'{name} disagrees: gradient off by {error:.1e} of its maximum')


def level(size: tuple[int, int], args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Correlated maps of student and teacher."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, args.batch, CHANNELS, *size, generator=generator).to(args.device)
    return maps[0].clone().requires_grad_(), maps.sum(0)


def measure(student: Tensor, teacher: Tensor, args: argparse.Namespace) -> Times:
    """Seconds of each candidate on one level, in each turn."""
    check_agreement(student, teacher)
    steps = {
        name: lambda distance=distance: step(distance, student, teacher)
        for name, distance in DISTANCES.items()
    }
    return in_turn({**steps, **lower_bound(student, teacher)}, args.repeats, args.device)


def total(levels: list[Times]) -> Times:
    """Seconds for the whole pyramid, turn by turn."""
    return {
        name: [sum(turn) for turn in zip(*(level[name] for level in levels), strict=True)]
        for name in levels[0]
    }


def time_row(label: str, seconds: Times) -> list[str]:
    """How many times longer each loop takes than ours, and ours than the lower bound."""
    slower = [spread(ratios(seconds[n], seconds[OURS])) for n in DISTANCES if n != OURS]
    bound = [max(pair) for pair in zip(seconds[PASS], seconds[PRODUCTS], strict=True)]
    return [label, *slower, spread(ratios(seconds[OURS], bound))]


def step_over(distance: Distance, pyramid: Pyramid) -> Callable[[], object]:
    """One step over all levels."""

    def whole_step() -> None:
        loss = torch.stack([distance(*maps) for maps in pyramid]).sum()
        torch.autograd.grad(loss, [student for student, _ in pyramid])

    return whole_step


def memory(call: Callable[[], object], pyramid: Pyramid, device: str) -> float:
    """Peak memory of a step over the pyramid, in sizes of the student's maps."""
    call()
    return peak_bytes(call, device) / sum(4 * student.numel() for student, _ in pyramid)


def moved(call: Callable[[], object], pyramid: Pyramid) -> float:
    """Elements that a step reads and writes, in passes over both maps and a gradient."""
    with ElementCounter() as counter:
        call()
    return counter.elements / sum(3 * student.numel() for student, _ in pyramid)


def peak_bytes(call: Callable[[], object], device: str) -> int:
    """Peak memory of a call, on top of what was held before."""
    if device == 'cuda':
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        call()
    held = most = 0
    for event in record.profiler.kineto_results.events():
        if event.name() == '[memory]':
            held += event.nbytes()
            most = max(most, held)
    return most


def main() -> None:
    """Measure, print, and write if asked."""
    parser = parser_of(__doc__, repeats=7)
    parser.add_argument('--batch', type=int, default=2, help='images (default: 2)')
    args = start(parser)
    pyramid = [level(size, args) for size in SIZES]
    levels = {
        f'{h} x {w}': measure(*maps, args) for (h, w), maps in zip(SIZES, pyramid, strict=True)
    }
    results = {**levels, 'all': total(list(levels.values()))}
    slower = [f'{name} / {OURS}' for name in DISTANCES if name != OURS]
    rows = [time_row(label, seconds) for label, seconds in results.items()]
    print_table(['level', *slower, f'{OURS} / lower bound'], rows)
    steps = {name: step_over(distance, pyramid) for name, distance in DISTANCES.items()}
    held = {name: memory(call, pyramid, args.device) for name, call in steps.items()}
    passes = {name: moved(call, pyramid) for name, call in steps.items()}
    print()
    print_table(
        ['', "memory / student's maps", 'read and written / lower bound'],
        [[name, f'{held[name]:.2f}', f'{passes[name]:.1f}'] for name in steps],
    )
    write_json(args, {'seconds': results, 'memory': held, 'passes': passes})


if __name__ == '__main__':
    main()
