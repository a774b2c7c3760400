"""How the time of each function grows with its sizes, compared with its formula.

Times are of a forward and backward pass at five or six sizes, in turn. A slope is the exponent of a
power law through the last three. The slope of the work is the same for what operators do: elements
read and written, and multiplications of matrices. The work ignores caches that overflow, the time
does not. The formula's slope is that of its order at the same sizes. Freed memory is kept, as on a
GPU. Otherwise tensors above 32 MiB would cost the CPU a page fault every 4 KiB.

Sizes: B samples, C channels or features, N patches or rows, K classes, E teachers.

    python benchmarks/growth.py --threads 1 --repeats 7 --plot work_dirs/growth.png
"""

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from counting import ElementCounter
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from timing import Times, in_turn, parser_of, print_table, spread, start, write_json
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mmkd import functional as F

FITTED = 3  # number of last sizes
MALLOC_SETTINGS = {-1: 2**31 - 1, -4: 0}  # glibc's trim threshold in bytes, and number of mmaps
COLUMNS = 5
ORDERS: dict[str, Callable[[int], float]] = {
    'n': lambda n: n,
    'n log n': lambda n: n * math.log(n),
    'n²': lambda n: n**2,
}

Step = Callable[[], object]


@dataclass(frozen=True)
class Sweep:
    """A function at growing values of one of its sizes.

    Attributes:
        name: The function, and what distinguishes the sweep from others.
        size: Letter of the size.
        order: Order of the formula, one of ORDERS.
        sizes: Values of the size, ascending.
        make: Makes a forward and backward pass for a value.
    """

    name: str
    size: str
    order: str
    sizes: list[int]
    make: Callable[[int], Step]


def sizes(first: int, factor: int = 2, count: int = 6) -> list[int]:
    """A geometric sequence."""
    return [first * factor**power for power in range(count)]


def step(
    function: Callable[..., Tensor], *shape: int, teachers: int = 1, **options: object
) -> Step:
    """Forward and backward pass on random inputs of a shape."""
    torch.manual_seed(0)
    student, *others = torch.randn(1 + teachers, *shape)
    student.requires_grad_()
    return lambda: torch.autograd.grad(function(student, *others, **options).sum(), student)


def pcka_of_patches(number: int) -> Step:
    """PCKA of a map that grows by patches of one size."""
    rows = 2 ** (int(math.log2(number)) // 2)
    return step(F.pcka, 8, 16, 8 * rows, 8 * number // rows, patch_size=8)


def pcka_of_finer_patches(number: int) -> Step:
    """PCKA of one map, cut into ever smaller patches."""
    return step(F.pcka, 64, 2, 128, 128, patch_size=128 // math.isqrt(number))


def both_ways(student: Tensor, teacher: Tensor) -> Tensor:
    """RCKA's CKA of logits: between samples and between classes."""
    return F.cka(student, teacher) + F.cka(student.mT, teacher.mT)


def contrastive(student: Tensor, teacher: Tensor) -> Tensor:
    """DLKD's contrastive loss, of ten classes."""
    return F.supervised_contrastive(student, teacher, torch.arange(len(student)) % 10)


FKD, CCKD, DLKD = F.feature_kernel_distance, F.correlation_congruence, F.knowledge_correlation
SWEEPS = [
    Sweep('pcka', 'B', 'n', sizes(4), lambda n: step(F.pcka, n, 64, 64, 64, patch_size=16)),
    Sweep('pcka', 'C', 'n', sizes(16), lambda n: step(F.pcka, 4, n, 128, 128, patch_size=32)),
    Sweep('pcka, patches of 8 x 8', 'N', 'n²', sizes(16), pcka_of_patches),
    Sweep('pcka, one map', 'N', 'n', sizes(4, 4, 5), pcka_of_finer_patches),
    Sweep('cka', 'B', 'n²', sizes(32), lambda n: step(F.cka, n, 1024)),
    Sweep('cka of many rows', 'N', 'n', sizes(2048), lambda n: step(F.cka, n, 128)),
    Sweep('cka', 'C', 'n', sizes(512), lambda n: step(F.cka, 256, n)),
    Sweep('cka of logits, both ways', 'K', 'n', sizes(1024), lambda n: step(both_ways, 128, n)),
    Sweep('feature_kernel_distance', 'B', 'n²', sizes(64), lambda n: step(FKD, n, 512)),
    Sweep('feature_kernel_distance', 'C', 'n', sizes(512), lambda n: step(FKD, 256, n)),
    Sweep('feature_kernel_distance', 'E', 'n', sizes(1), lambda n: step(FKD, 512, 512, teachers=n)),
    Sweep('correlation_congruence', 'B', 'n²', sizes(64), lambda n: step(CCKD, n, 128)),
    Sweep('correlation_congruence', 'C', 'n', sizes(512), lambda n: step(CCKD, 256, n)),
    Sweep('cmkd', 'B', 'n', sizes(64), lambda n: step(F.cmkd, n, 100)),
    Sweep('cmkd', 'K', 'n log n', sizes(128, 4, 5), lambda n: step(F.cmkd, 64, n)),
    Sweep(
        *('soft_rank, fast', 'K', 'n log n', sizes(128, 4, 5)),
        lambda n: step(F.soft_rank, 64, n, teachers=0),
    ),
    Sweep(
        *('soft_rank, pairwise', 'K', 'n²', sizes(64)),
        lambda n: step(F.soft_rank, 8, n, teachers=0, method='pairwise'),
    ),
    Sweep('knowledge_correlation', 'B', 'n²', sizes(64), lambda n: step(DLKD, n, 4, 256)),
    Sweep('knowledge_correlation', 'C', 'n', sizes(1024), lambda n: step(DLKD, 64, 4, n)),
    Sweep('supervised_contrastive', 'B', 'n²', sizes(128), lambda n: step(contrastive, n, 128)),
]


def work(run: Step) -> float:
    """What the operators of a pass do. It is the same on every machine."""
    with FlopCounterMode(display=False) as products, ElementCounter() as others:
        run()
    return products.get_total_flops() + others.elements


def slope(values: list[int], costs: list[float]) -> float:
    """Exponent of the power law through the last costs."""
    x, y = np.log(values[-FITTED:]), np.log(costs[-FITTED:])
    return float(np.polyfit(x, y, 1)[0])


def slopes(sweep: Sweep, times: Times) -> list[float]:
    """Measured exponent in each turn."""
    turns = zip(*times.values(), strict=True)
    return [slope(sweep.sizes, list(seconds)) for seconds in turns]


def expected(sweep: Sweep) -> float:
    """The formula's exponent at the same sizes."""
    return slope(sweep.sizes, [ORDERS[sweep.order](n) for n in sweep.sizes])


def keep_freed_memory() -> None:
    """Keep glibc, if present, from returning memory to the system."""
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is not None:
        for setting, value in MALLOC_SETTINGS.items():
            mallopt(setting, value)


def draw(axes: Axes, sweep: Sweep, times: Times) -> None:
    """One panel: the measured times, and the formula's line through the last time."""
    seconds = [median(turns) for turns in times.values()]
    order = ORDERS[sweep.order]
    line = [1e3 * seconds[-1] * order(n) / order(sweep.sizes[-1]) for n in sweep.sizes]
    axes.loglog(sweep.sizes, line, color='0.6', linewidth=4, label='formula')
    axes.loglog(sweep.sizes, [1e3 * s for s in seconds], 'o-', color='tab:blue', label='measured')
    found = f'slope {median(slopes(sweep, times)):.2f}\n{letters(sweep)}: {expected(sweep):.2f}'
    axes.text(0.96, 0.05, found, transform=axes.transAxes, ha='right', va='bottom')
    axes.set_title(sweep.name, fontsize=10)
    axes.set_xlabel(sweep.size)
    axes.set_xticks(sweep.sizes[-1::-2], [str(n) for n in sweep.sizes[-1::-2]])
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def letters(sweep: Sweep) -> str:
    """The formula's order in the letter of the size."""
    return sweep.order.replace('n', sweep.size)


def plot(measured: list[tuple[Sweep, Times]], path: Path) -> None:
    """All panels in one picture."""
    rows = math.ceil(len(measured) / COLUMNS)
    figure = Figure(figsize=(12, 2.6 * rows), dpi=100, layout='constrained')
    panels = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in panels.flat[len(measured) :]:
        axes.remove()
    for axes, (sweep, times) in zip(panels.flat, measured, strict=False):
        draw(axes, sweep, times)
    for axes in panels[:, 0]:
        axes.set_ylabel('ms, forward + backward')
    panels[0, 0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    """Measure, print and plot."""
    parser = parser_of(__doc__, repeats=7, threads=1)
    parser.add_argument('--plot', type=Path, default=Path('work_dirs/growth.png'))
    parser.add_argument(
        '--functions',
        nargs='+',
        choices=sorted({sweep.name for sweep in SWEEPS}),
        metavar='NAME',
        help='rows of the table (default: all)',
    )
    args = start(parser)
    torch.set_default_device(args.device)
    keep_freed_memory()
    measured, works = [], []
    for sweep in SWEEPS:
        if args.functions and sweep.name not in args.functions:
            continue
        steps = {str(size): sweep.make(size) for size in sweep.sizes}
        measured.append((sweep, in_turn(steps, args.repeats, args.device)))
        works.append(slope(sweep.sizes, [work(run) for run in steps.values()]))
    print_table(
        ['function', 'size', 'last ones', 'slope', 'of the work', "formula's"],
        [
            [
                sweep.name,
                sweep.size,
                ', '.join(map(str, sweep.sizes[-FITTED:])),
                spread(slopes(sweep, times), 2),
                f'{of_work:.2f}',
                f'{expected(sweep):.2f}: {letters(sweep)}',
            ]
            for (sweep, times), of_work in zip(measured, works, strict=True)
        ],
    )
    plot(measured, args.plot)
    write_json(args, {f'{sweep.name}, {sweep.size}': times for sweep, times in measured})


if __name__ == '__main__':
    main()
