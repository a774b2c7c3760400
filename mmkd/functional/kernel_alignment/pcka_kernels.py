"""Triton kernels of PCKA: Gram matrices of patches, their cosine, and the gradient of the map.

Each kernel unrolls the loop over the levels of a pyramid, so one launch computes all.

``table`` holds a row of numbers for each level: height, width, columns of patches, N, patch size,
where its Gram matrices start, where its factors start, and the strides (member, group, row, column)
of the student's map, the teacher's and the gradient.

``SHAPES`` holds what the compiler must know of each level: T, TILES, KU, KV, CHUNKS. A Gram matrix
has TILES x TILES tiles of T x T. A block holds T patches, and KU rows and KV columns of each. A
patch has CHUNKS such parts side by side. ``STRETCH`` says whether maps are stretched to whole
patches, or else padded with zeros.
"""

import triton
import triton.language as tl

FIELDS = tl.constexpr(19)  # of a level in the table
_START, _FACTORS, _STUDENT, _TEACHER, _GRADIENT = map(tl.constexpr, (5, 6, 7, 11, 15))


@triton.jit
def _size(level):
    """Height, width, columns of patches, N, patch size."""
    return (
        tl.load(level),
        tl.load(level + 1),
        tl.load(level + 2),
        tl.load(level + 3),
        tl.load(level + 4),
    )


@triton.jit
def _strides(level, at: tl.constexpr):
    """Strides of a map: member, group, row, column."""
    return (
        tl.load(level + at),
        tl.load(level + at + 1),
        tl.load(level + at + 2),
        tl.load(level + at + 3),
    )


@triton.jit
def _coordinate(position, size, stretched):
    """Where a stretched map reads the map: bilinear, corners not aligned, edges repeated."""
    scale = tl.div_rn(size.to(tl.float32), stretched.to(tl.float32))
    return tl.minimum(tl.maximum((position + 0.5) * scale - 0.5, 0.0), size - 1.0)


@triton.jit
def _patches(image, strides, size, tile, u, v, SHAPE: tl.constexpr, STRETCH: tl.constexpr):
    """Pixels (u, v) of the patches of a tile in float32, (T, K), and which rows are patches."""
    height, width, columns, count, patch = size
    n = tile * SHAPE[0] + tl.arange(0, SHAPE[0])
    is_patch = n < count
    y = (n // columns)[:, None] * patch + u[None, :]
    x = (n % columns)[:, None] * patch + v[None, :]
    keep = is_patch[:, None] & (u < patch)[None, :] & (v < patch)[None, :]
    if STRETCH:
        to_y = _coordinate(y, height, (count // columns) * patch)
        to_x = _coordinate(x, width, columns * patch)
        top, left = to_y.to(tl.int32), to_x.to(tl.int32)
        below, right = to_y - top, to_x - left
        upper = image + top * strides[2]
        lower = image + tl.minimum(top + 1, height - 1) * strides[2]
        left_at = left * strides[3]
        right_at = tl.minimum(left + 1, width - 1) * strides[3]
        first = tl.load(upper + left_at, keep, 0.0).to(tl.float32)
        second = tl.load(upper + right_at, keep, 0.0).to(tl.float32)
        third = tl.load(lower + left_at, keep, 0.0).to(tl.float32)
        fourth = tl.load(lower + right_at, keep, 0.0).to(tl.float32)
        above = first * (1 - right) + second * right
        values = above * (1 - below) + (third * (1 - right) + fourth * right) * below
    else:  # what is outside of the map is padding
        keep = keep & (y < height) & (x < width)
        values = tl.load(image + y * strides[2] + x * strides[3], keep, 0.0).to(tl.float32)
    return values, is_patch


@triton.jit
def _mean_patch(image, strides, size, values, u, v, SHAPE: tl.constexpr, STRETCH: tl.constexpr):
    """Mean over the patches of pixels (u, v), given those of the only tile, if it is the only."""
    if SHAPE[1] == 1:
        total = tl.sum(values, 0)
    else:
        total = tl.zeros_like(u).to(tl.float32)
        for tile in range(SHAPE[1]):
            part, _ = _patches(image, strides, size, tile, u, v, SHAPE, STRETCH)
            total += tl.sum(part, 0)
    return total / size[3]


@triton.jit
def _gram(
    maps,
    strides,
    size,
    gram,
    removed,
    pair,
    begin,
    end,
    SHAPE: tl.constexpr,
    STRETCH: tl.constexpr,
    CENTER: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One tile of one group's Gram matrix, from some of its maps."""
    T: tl.constexpr = SHAPE[0]
    TILES: tl.constexpr = SHAPE[1]
    KU: tl.constexpr = SHAPE[2]
    KV: tl.constexpr = SHAPE[3]
    count, patch = size[3], size[4]
    row, column = pair // TILES, pair % TILES
    k = tl.arange(0, KU * KV)
    total = tl.zeros((T, T), tl.float32)
    squares = tl.zeros((KU * KV,), tl.float32)
    for chunk in tl.static_range(SHAPE[4]):
        v = chunk * KV + k % KV
        for member in range(begin, end):
            image = maps + member * strides[0]
            for first in range(0, patch, KU):
                u = first + k // KV
                a, is_patch = _patches(image, strides, size, row, u, v, SHAPE, STRETCH)
                if CENTER:
                    mean = _mean_patch(image, strides, size, a, u, v, SHAPE, STRETCH)
                    a = tl.where(is_patch[:, None], a - mean[None, :], 0.0)
                    squares += mean * mean
                b = a
                if TILES > 1:
                    b, is_patch = _patches(image, strides, size, column, u, v, SHAPE, STRETCH)
                    if CENTER:
                        b = tl.where(is_patch[:, None], b - mean[None, :], 0.0)
                total = tl.dot(a, tl.trans(b), total, input_precision=PRECISION)
    i, j = row * T + tl.arange(0, T), column * T + tl.arange(0, T)
    inside = (i < count)[:, None] & (j < count)[None, :]
    tl.store(gram + i[:, None] * count + j[None, :], total, inside)
    if pair == 0:
        tl.store(removed, count * tl.sum(squares))


@triton.jit(do_not_specialize=['groups', 'members', 'splits'])
def gram_kernel(
    maps,
    table,
    grams,
    removed,
    groups,
    members,
    splits,
    SHAPES: tl.constexpr,
    STRETCH: tl.constexpr,
    CENTER: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Gram matrices (network, split, group, N, N) of each level, and what centering removed.

    ``maps`` are those of the student and then those of the teacher. A split holds a part of the
    members of a group.
    """
    levels: tl.constexpr = len(SHAPES)
    program = tl.program_id(0)
    for level in tl.static_range(levels):
        row = table + level * FIELDS
        pairs = SHAPES[level][1] * SHAPES[level][1]
        here = splits * groups * pairs
        for network in tl.static_range(2):
            if (program >= 0) & (program < here):
                size = _size(row)
                strides = _strides(row, _STUDENT + network * 4)
                group = program % groups
                pair = program // groups % pairs
                split = program // groups // pairs
                at = (network * splits + split) * groups + group
                _gram(
                    maps[network * levels + level] + group * strides[1],
                    strides,
                    size,
                    grams + tl.load(row + _START) + at * size[3] * size[3],
                    removed + level * 2 * splits * groups + at,
                    pair,
                    split * members // splits,
                    (split + 1) * members // splits,
                    SHAPES[level],
                    STRETCH,
                    CENTER,
                    PRECISION,
                )
            program -= here


@triton.jit
def _sum_of_splits(start, at, inside, splits, step):
    """Elements of a Gram matrix: the sum over its splits, in their order."""
    total = tl.load(start + at, inside, 0.0)
    for split in range(1, splits):
        total += tl.load(start + split * step + at, inside, 0.0)
    return total


@triton.jit
def _scaled(start, i, j, count, splits, step, trace, traces, UNBIASED: tl.constexpr):
    """Rows i of a Gram matrix of trace 1, U-centered if unbiased, and before that."""
    inside = (i < count)[:, None] & (j < count)[None, :]
    raw = _sum_of_splits(start, i[:, None] * count + j[None, :], inside, splits, step) / trace
    matrix = raw
    if UNBIASED:
        of_rows = _sum_of_splits(start, i * (count + 1), i < count, splits, step) / trace
        of_columns = _sum_of_splits(start, j * (count + 1), j < count, splits, step) / trace
        n = count.to(tl.float32)
        matrix += (of_rows[:, None] + of_columns[None, :]) / (n - 2)
        matrix -= traces / ((n - 1) * (n - 2))
        matrix = tl.where(inside & (i[:, None] != j[None, :]), matrix, 0.0)
    return matrix, raw


@triton.jit
def _measure(
    start,
    removed,
    count,
    splits,
    step,
    groups,
    UNBIASED: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """What scales a Gram matrix: its trace, the trace after, the norm then, if it vanishes."""
    j = tl.arange(0, COLUMNS)
    trace = tl.sum(_sum_of_splits(start, j * (count + 1), j < count, splits, step))
    lost = tl.load(removed)
    for split in range(1, splits):
        lost += tl.load(removed + split * groups)
    ulps: tl.constexpr = 16 * 1.1920928955078125e-07
    vanishes = trace <= tl.maximum(ulps * ulps * lost, 1.1754943508222875e-38)
    trace = tl.where(vanishes, float('inf'), trace)
    traces = tl.where(vanishes, 0.0, 1.0)
    squares = 0.0
    squares_before = 0.0
    for first in range(0, count, ROWS):
        i = first + tl.arange(0, ROWS)
        matrix, before = _scaled(start, i, j, count, splits, step, trace, traces, UNBIASED)
        squares += tl.sum(matrix * matrix)
        squares_before += tl.sum(before * before)
    norm = tl.sqrt_rn(squares)
    if UNBIASED:
        vanishes = vanishes | (norm <= ulps * tl.sqrt_rn(squares_before))
    return trace, traces, tl.where(norm == 0, 1.0, norm), vanishes


@triton.jit
def _compare(
    k_start,
    l_start,
    k_removed,
    l_removed,
    similarity,
    factors,
    count,
    splits,
    step,
    groups,
    UNBIASED: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Cosine of two Gram matrices, and the matrix whose product with the patches is a gradient."""
    k_trace, k_traces, k_norm, k_vanishes = _measure(
        k_start, k_removed, count, splits, step, groups, UNBIASED, COLUMNS, ROWS
    )
    l_trace, l_traces, l_norm, l_vanishes = _measure(
        l_start, l_removed, count, splits, step, groups, UNBIASED, COLUMNS, ROWS
    )
    vanishes = k_vanishes | l_vanishes
    j = tl.arange(0, COLUMNS)
    distance = 0.0
    for first in range(0, count, ROWS):
        i = first + tl.arange(0, ROWS)
        k, _ = _scaled(k_start, i, j, count, splits, step, k_trace, k_traces, UNBIASED)
        other, _ = _scaled(l_start, i, j, count, splits, step, l_trace, l_traces, UNBIASED)
        difference = k / k_norm - other / l_norm
        distance += tl.sum(difference * difference) / 2
    tl.store(similarity, tl.where(vanishes, 1.0, 1 - distance))
    # Twice the gradient by K, for K is symmetric. It is as centered as K and L are.
    scale = 2 / k_norm / k_trace
    for first in range(0, count, ROWS):
        i = first + tl.arange(0, ROWS)
        k, _ = _scaled(k_start, i, j, count, splits, step, k_trace, k_traces, UNBIASED)
        other, _ = _scaled(l_start, i, j, count, splits, step, l_trace, l_traces, UNBIASED)
        k = k / k_norm
        factor = tl.where(vanishes, 0.0, (k * distance - (k - other / l_norm)) * scale)
        inside = (i < count)[:, None] & (j < count)[None, :]
        tl.store(factors + i[:, None] * count + j[None, :], factor, inside)


@triton.jit(do_not_specialize=['groups', 'splits'])
def compare_kernel(
    grams,
    removed,
    similarities,
    factors,
    table,
    groups,
    splits,
    UNBIASED: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Similarity of each group of each level, and the factors of the gradients.

    It takes ROWS rows at a time of matrices with at most COLUMNS columns.
    """
    program = tl.program_id(0)
    level, group = program // groups, program % groups
    row = table + level * FIELDS
    count = tl.load(row + 3)
    step = groups * count * count
    k_start = grams + tl.load(row + _START) + group * count * count
    k_removed = removed + level * 2 * splits * groups + group
    _compare(
        k_start,
        k_start + splits * step,
        k_removed,
        k_removed + splits * groups,
        similarities + program,
        factors + tl.load(row + _FACTORS) + group * count * count,
        count,
        splits,
        step,
        groups,
        UNBIASED,
        COLUMNS,
        ROWS,
    )


@triton.jit
def _slot(u, first, ring):
    """Row of the scratch that holds row ``u`` of the patches: the first ones stay."""
    return tl.where(u < first, u, first + (u - first) % ring)


@triton.jit
def _weight(position, target, size, stretched):
    """How much a stretched map reads of the map's pixel ``target`` at ``position``."""
    offset = tl.abs(_coordinate(position, size, stretched) - target)
    return tl.where((position >= 0) & (position < stretched), tl.maximum(1.0 - offset, 0.0), 0.0)


@triton.jit
def _last_reader(target, size, stretched):
    """Last position of the stretched map that reads the map's pixel ``target``."""
    last = ((2 * target + 3) * stretched - size - 1) // (2 * size)
    return tl.minimum(last, stretched - 1)


@triton.jit
def _gather_rows(
    gradient,
    strides,
    size,
    scratch,
    first_u,
    lowest_u,
    highest_u,
    scale,
    first,
    ring,
    slots,
    KU: tl.constexpr,
    TAPS: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """Gradient of those rows of the map whose last reader is a row u of the patches."""
    height, width, columns, count, patch = size
    bands = count // columns
    for start in range(0, bands * KU * width, PIXELS):
        index = start + tl.arange(0, PIXELS)
        x, row = index % width, index // width
        u, band = first_u + row % KU, row // KU
        position = band * patch + u
        tall, wide = bands * patch, columns * patch
        # The only row whose last reader may be at this position.
        y = (2 * height * position + height + 1 - 3 * tall + 2 * tall - 1) // (2 * tall)
        y = tl.maximum(y, 0)
        keep = (band < bands) & (u >= lowest_u) & (u < highest_u) & (y < height)
        keep = keep & (_last_reader(y, height, tall) == position)
        at_x = _last_reader(x, width, wide)
        total = tl.zeros((PIXELS,), tl.float32)
        for tap in tl.static_range(TAPS):
            from_y = position - tap
            down = _weight(from_y, y, height, tall)
            there = (from_y // patch) * slots + _slot(from_y % patch, first, ring)
            line = scratch + there * wide
            inner = tl.zeros((PIXELS,), tl.float32)
            for other in tl.static_range(TAPS):
                from_x = at_x - other
                across = _weight(from_x, x, width, wide)
                inner += across * tl.load(line + from_x, keep & (down > 0) & (across > 0), 0.0)
            total += down * inner
        tl.store(gradient + y * strides[2] + x * strides[3], total * scale, keep)


@triton.jit
def _factor_tile(factor, tile, other, count, T: tl.constexpr):
    """One tile of the matrix that the patches are multiplied by."""
    i, j = tile * T + tl.arange(0, T), other * T + tl.arange(0, T)
    inside = (i < count)[:, None] & (j < count)[None, :]
    return tl.load(factor + i[:, None] * count + j[None, :], inside, 0.0)


@triton.jit
def _gradient_of_patches(
    image,
    strides,
    size,
    factor,
    only,
    tile,
    u,
    v,
    SHAPE: tl.constexpr,
    STRETCH: tl.constexpr,
    CENTER: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Gradient of pixels (u, v) of the patches of a tile: rows of the factor times patches."""
    T: tl.constexpr = SHAPE[0]
    TILES: tl.constexpr = SHAPE[1]
    total = tl.zeros((T, u.shape[0]), tl.float32)
    for other in tl.static_range(TILES):
        b, is_patch = _patches(image, strides, size, other, u, v, SHAPE, STRETCH)
        if CENTER:
            mean = _mean_patch(image, strides, size, b, u, v, SHAPE, STRETCH)
            b = tl.where(is_patch[:, None], b - mean[None, :], 0.0)
        a = only
        if TILES > 1:
            a = _factor_tile(factor, tile, other, size[3], T)
        total = tl.dot(a, b, total, input_precision=PRECISION)
    return total


@triton.jit
def _map_gradient(
    image,
    strides,
    gradient,
    gradient_strides,
    size,
    factor,
    scale,
    scratch,
    SHAPE: tl.constexpr,
    STRETCH: tl.constexpr,
    CENTER: tl.constexpr,
    PRECISION: tl.constexpr,
    TAPS: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """Gradient of one map. A stretched one goes through a few rows of each band of patches."""
    T: tl.constexpr = SHAPE[0]
    TILES: tl.constexpr = SHAPE[1]
    KU: tl.constexpr = SHAPE[2]
    KV: tl.constexpr = SHAPE[3]
    first: tl.constexpr = TAPS - 1
    ring: tl.constexpr = TAPS - 1 + KU
    height, width, columns, count, patch = size
    slots = tl.minimum(patch, first + ring)
    k = tl.arange(0, KU * KV)
    only = _factor_tile(factor, 0, 0, count, T)  # stays near, if there is no other
    for first_u in range(0, patch, KU):
        u = first_u + k // KV
        for chunk in tl.static_range(SHAPE[4]):
            v = chunk * KV + k % KV
            for tile in tl.static_range(TILES):
                values = _gradient_of_patches(
                    *(image, strides, size, factor, only, tile, u, v),
                    *(SHAPE, STRETCH, CENTER, PRECISION),
                )
                n = tile * T + tl.arange(0, T)
                x = (n % columns)[:, None] * patch + v[None, :]
                keep = (n < count)[:, None] & (u < patch)[None, :] & (v < patch)[None, :]
                if STRETCH:
                    row = (n // columns)[:, None] * slots + _slot(u, first, ring)[None, :]
                    tl.store(scratch + row * (columns * patch) + x, values, keep)
                else:
                    y = (n // columns)[:, None] * patch + u[None, :]
                    keep = keep & (y < height) & (x < width)
                    at = y * gradient_strides[2] + x * gradient_strides[3]
                    tl.store(gradient + at, values * scale, keep)
        if STRETCH:
            tl.debug_barrier()  # all rows are there
            _gather_rows(
                *(gradient, gradient_strides, size, scratch, first_u, first, patch, scale),
                *(first, ring, slots, KU, TAPS, PIXELS),
            )
            tl.debug_barrier()  # and read, before the next ones take their place
    if STRETCH:  # the first rows of a band also read the end of the band above
        for first_u in range(0, tl.minimum(first, patch), KU):
            _gather_rows(
                *(gradient, gradient_strides, size, scratch),
                *(first_u, 0, tl.minimum(first, patch), scale),
                *(first, ring, slots, KU, TAPS, PIXELS),
            )
        tl.debug_barrier()


@triton.jit(do_not_specialize=['groups', 'members', 'programs', 'scratch_size'])
def gradient_kernel(
    maps,
    gradients,
    factors,
    scales,
    scratch,
    table,
    groups,
    members,
    programs,
    scratch_size,
    SHAPES: tl.constexpr,
    STRETCH: tl.constexpr,
    CENTER: tl.constexpr,
    PRECISION: tl.constexpr,
    TAPS: tl.constexpr,
    PIXELS: tl.constexpr,
):
    """Gradients of the maps of each level. Each program has its own scratch, for many maps.

    A pixel of a map is read by at most TAPS rows and TAPS columns of the stretched map.
    """
    program = tl.program_id(0)
    for level in tl.static_range(len(SHAPES)):
        row = table + level * FIELDS
        size = _size(row)
        strides, to_strides = _strides(row, _STUDENT), _strides(row, _GRADIENT)
        scale = tl.load(scales + level) / groups
        # A level starts where the last one ended, so no program gets the rest of all levels.
        begin = (program + programs - level * groups * members % programs) % programs
        for item in range(begin, groups * members, programs):
            group, member = item // members, item % members
            _map_gradient(
                maps[level] + member * strides[0] + group * strides[1],
                strides,
                gradients[level] + member * to_strides[0] + group * to_strides[1],
                to_strides,
                size,
                factors + tl.load(row + _FACTORS) + group * size[3] * size[3],
                scale,
                scratch + program * scratch_size,
                SHAPES[level],
                STRETCH,
                CENTER,
                PRECISION,
                TAPS,
                PIXELS,
            )
