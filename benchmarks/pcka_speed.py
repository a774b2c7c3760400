"""Speed and memory of PCKA, forward and backward, against loops over channels and a lower bound.

For each pyramid level and the whole pyramid, the first table shows how many times longer the loops
and the plain computation of all channels at once take than `mmkd.functional.pcka`, and how many
times longer ours takes than the lower bound. Lower bound: the slower of (a) reading both maps and
writing one gradient, (b) three products of patches and N x N matrices. Its line says how fast this
machine did both. The second table is for one step over the pyramid: the peak memory, gradient
included, in sizes of the student's maps, and the elements that operators read and write, in units
of (a). Elements of Triton's kernels are not counted.

    python benchmarks/pcka_speed.py --threads 2 --repeats 7
    python benchmarks/pcka_speed.py --device cuda --batch 3 --precision tf32
"""

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from counting import ElementCounter
from timing import Times, in_turn, parser_of, print_table, ratios, spread, start, write_json
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from mmkd.functional import fitting_patch_size, pcka, pyramid_pcka, to_patches
from mmkd.functional.kernel_alignment.patches import Patching
from mmkd.functional.kernel_alignment.pcka import whole_pcka

CHANNELS, PATCH, MIN_PATCHES = 256, 16, 4
SIZES = ((100, 168), (50, 84), (25, 42), (13, 21))  # strides 8 to 64 of an 800 x 1333 image
OURS = 'mmkd'
# Type of the maps, precision of products, and how far values and gradients may differ.
PRECISIONS = {
    'fp32': (torch.float32, 'highest', 1e-5, 1e-4),
    'tf32': (torch.float32, 'high', 1e-3, 2e-2),
    'bf16': (torch.bfloat16, 'high', 1e-2, 5e-2),
}

Distance = Callable[[Tensor, Tensor], Tensor]
Pyramid = list[tuple[Tensor, Tensor]]


def ours(student: Tensor, teacher: Tensor) -> Tensor:
    """Distance as `PCKALoss` computes it."""
    return 1 - pcka(student, teacher, PATCH, min_patches=MIN_PATCHES)


def ours_of(pyramid: Pyramid) -> Tensor:
    """The sum of the distances of all levels as `PCKALoss` computes it."""
    students, teachers = zip(*pyramid, strict=True)
    return (1 - pyramid_pcka(students, teachers, PATCH, min_patches=MIN_PATCHES)).sum()


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
    x, y = channel_patches(student.float()), channel_patches(teacher.float())
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
    x, y = (to_patches(feature.float(), patch_size_of(feature)) for feature in (source, target))
    k = x @ x.mT
    return {
        PASS: lambda: torch.add(source, target, out=gradient),
        PRODUCTS: lambda: (x @ x.mT, y @ y.mT, k @ x),
    }


def check_agreement(student: Tensor, teacher: Tensor, precision: str) -> None:
    """Raise unless all candidates give the same value and gradient."""
    _, _, of_value, of_gradient = PRECISIONS[precision]
    value, gradient = step(ours, student, teacher)
    for name, distance in DISTANCES.items():
        other_value, other_gradient = step(distance, student, teacher)
        error = (other_gradient - gradient).abs().max() / gradient.abs().max()
        if abs(other_value - value) > of_value or error > of_gradient:
            raise RuntimeError(f'{name} disagrees: gradient off by {error:.1e} of its maximum')


def level(size: tuple[int, int], args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Correlated maps of student and teacher."""
    generator = torch.Generator().manual_seed(0)
    dtype = PRECISIONS[args.precision][0]
    maps = torch.randn(2, args.batch, args.channels, *size, generator=generator).to(args.device)
    return maps[0].to(dtype, copy=True).requires_grad_(), maps.sum(0).to(dtype)


def measure(student: Tensor, teacher: Tensor, args: argparse.Namespace) -> Times:
    """Seconds of each candidate on one level, in each turn."""
    check_agreement(student, teacher, args.precision)
    steps = {
        name: lambda distance=distance: step(distance, student, teacher)
        for name, distance in DISTANCES.items()
    }
    return in_turn({**steps, **lower_bound(student, teacher)}, args.repeats, args.device)


def measure_all(pyramid: Pyramid, args: argparse.Namespace) -> Times:
    """Seconds of each candidate on all levels, in each turn."""
    bounds = [lower_bound(*maps) for maps in pyramid]
    parts = {name: [bound[name] for bound in bounds] for name in (PASS, PRODUCTS)}
    together = {
        name: lambda calls=calls: [call() for call in calls] for name, calls in parts.items()
    }
    return in_turn({**steps_of(pyramid), **together}, args.repeats, args.device)


def time_row(label: str, seconds: Times) -> list[str]:
    """How many times longer each loop takes than ours, ours than the lower bound, and ours."""
    slower = [spread(ratios(seconds[n], seconds[OURS])) for n in DISTANCES if n != OURS]
    bound = [max(pair) for pair in zip(seconds[PASS], seconds[PRODUCTS], strict=True)]
    milliseconds = [1e3 * turn for turn in seconds[OURS]]
    return [label, *slower, spread(ratios(seconds[OURS], bound)), spread(milliseconds, 2)]


def steps_of(pyramid: Pyramid) -> dict[str, Callable[[], object]]:
    """One step over all levels of each candidate."""
    students = [student for student, _ in pyramid]

    def whole_step(loss: Callable[[], Tensor]) -> None:
        torch.autograd.grad(loss(), students)

    losses = {
        name: lambda distance=distance: sum(distance(*maps) for maps in pyramid)
        for name, distance in DISTANCES.items()
    }
    losses[OURS] = partial(ours_of, pyramid)
    return {name: partial(whole_step, loss) for name, loss in losses.items()}


def rates(pyramid: Pyramid, seconds: Times) -> str:
    """How fast the lower bound read and wrote, and multiplied."""
    moved_bytes = sum(3 * student.numel() * student.element_size() for student, _ in pyramid)
    operations = 0
    for student, _ in pyramid:
        groups, patches, features = to_patches(student.detach(), patch_size_of(student)).shape
        operations += 3 * 2 * groups * patches**2 * features
    passes, products = (median(seconds[name]) for name in (PASS, PRODUCTS))
    return f'{moved_bytes / passes / 1e9:.0f} GB/s, {operations / products / 1e12:.2f} TFLOP/s'


def memory(call: Callable[[], object], pyramid: Pyramid, device: str) -> float:
    """Peak memory of a step over the pyramid, in sizes of the student's maps."""
    call()
    students = [student for student, _ in pyramid]
    held = sum(student.numel() * student.element_size() for student in students)
    return peak_bytes(call, device) / held


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
    parser.add_argument('--channels', type=int, default=CHANNELS, help=f'default: {CHANNELS}')
    parser.add_argument('--precision', choices=PRECISIONS, default='fp32')
    args = start(parser)
    torch.set_float32_matmul_precision(PRECISIONS[args.precision][1])
    pyramid = [level(size, args) for size in SIZES]
    results = {
        f'{h} x {w}': measure(*maps, args) for (h, w), maps in zip(SIZES, pyramid, strict=True)
    }
    results['all'] = measure_all(pyramid, args)
    slower = [f'{name} / {OURS}' for name in DISTANCES if name != OURS]
    rows = [time_row(label, seconds) for label, seconds in results.items()]
    print_table(['level', *slower, f'{OURS} / lower bound', f'{OURS}, ms'], rows)
    print(f'\nLower bound: {rates(pyramid, results["all"])}\n')
    steps = steps_of(pyramid)
    held = {name: memory(call, pyramid, args.device) for name, call in steps.items()}
    passes = {name: moved(call, pyramid) for name, call in steps.items()}
    print_table(
        ['', "memory / student's maps", 'read and written / lower bound'],
        [[name, f'{held[name]:.2f}', f'{passes[name]:.1f}'] for name in steps],
    )
    write_json(args, {'seconds': results, 'memory': held, 'passes': passes})


if __name__ == '__main__':
    main()
