"""What the fused kernels of PCKA take of a GPU: registers, spilled bytes and shared memory.

They are compiled for the pyramid of an 800 x 1333 image, without a GPU. The assembler counts bytes
of the stack, which hold what does not fit the registers.

    python benchmarks/kernel_resources.py --architectures 80 90
"""

import argparse
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import triton
from pcka_speed import MIN_PATCHES, PATCH, SIZES
from timing import print_table
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mmkd.functional import fitting_patch_size
from mmkd.functional.kernel_alignment import fused_pcka, pcka_kernels
from mmkd.functional.kernel_alignment.fused_layout import Layout, layout_of
from mmkd.functional.kernel_alignment.patches import Patching

DUMP = Path(triton.__file__).parent / 'backends/nvidia/bin/cuobjdump'
TYPES = {'fp32': '*fp32', 'bf16': '*bf16'}


def layout() -> Layout:
    """How the pyramid is cut."""
    maps = [torch.empty(2, 256, *size, device='meta') for size in SIZES]
    sides = [fitting_patch_size(size, PATCH, MIN_PATCHES) for size in SIZES]
    return layout_of(maps, [Patching(side or 1, 'channel', 'resize') for side in sides])


def kernels(of: Layout, precision: str, map_type: str) -> Iterator[tuple[Any, dict, dict, dict]]:
    """Each kernel, the types of its arguments, its constants and how it is launched."""
    levels = len(of.levels)
    shapes = tuple(level.shape for level in of.levels)
    columns, rows = of.compared
    common = dict(SHAPES=shapes, STRETCH=of.stretch, CENTER=True, PRECISION=precision)
    launch = fused_pcka._launch(of)
    gathered = dict(TAPS=of.taps, PIXELS=fused_pcka._PIXELS)
    two, one = (map_type,) * 2 * levels, (map_type,) * levels
    yield pcka_kernels.gram_kernel, dict(maps=two), common, launch
    compared = dict(UNBIASED=False, COLUMNS=columns, ROWS=rows)
    yield pcka_kernels.compare_kernel, {}, compared, dict(num_warps=4)
    both = dict(maps=one, gradients=one)
    yield pcka_kernels.gradient_kernel, both, common | gathered, launch


def resources(
    kernel: Any, types: dict, constants: dict, launch: dict, architecture: int
) -> list[str]:
    """Registers, stack and shared memory of a compiled kernel."""
    floats = dict.fromkeys(
        ('grams', 'removed', 'similarities', 'factors', 'scales', 'scratch'), '*fp32'
    )
    known = {**floats, 'table': '*i32', **types, **dict.fromkeys(constants, 'constexpr')}
    signature = {name: known.get(name, 'i32') for name in kernel.arg_names}
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, signature, places)
    compiled = triton.compile(source, GPUTarget('cuda', architecture, 32), launch)
    with tempfile.NamedTemporaryFile(suffix='.cubin') as file:
        file.write(compiled.asm['cubin'])
        file.flush()
        dump = subprocess.run(
            [DUMP, '-res-usage', file.name], capture_output=True, text=True, check=True
        )
    found = re.search(r'REG:(\d+) STACK:(\d+)', dump.stdout + dump.stderr)
    assert found is not None
    warps = str(launch['num_warps'])
    return [*found.groups(), f'{compiled.metadata.shared / 1024:.0f}', warps]


def main() -> None:
    """Compile and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--architectures', type=int, nargs='+', default=[80, 90])
    parser.add_argument('--precisions', nargs='+', choices=('tf32', 'tf32x3'), default=['tf32'])
    parser.add_argument('--types', nargs='+', choices=TYPES, default=['fp32'])
    args = parser.parse_args()
    rows = [
        [f'sm_{architecture}', precision, name, kernel.__name__, *taken]
        for architecture in args.architectures
        for precision in args.precisions
        for name in args.types
        for kernel, *rest in kernels(layout(), precision, TYPES[name])
        for taken in [resources(kernel, *rest, architecture)]
    ]
    header = ['', 'products', 'maps', 'kernel', 'registers', 'stack, bytes', 'shared, KiB', 'warps']
    print_table(header, rows)


if __name__ == '__main__':
    main()
