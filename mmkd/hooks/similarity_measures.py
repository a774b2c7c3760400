"""How alike two recorded outputs are, for networks of any widths."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from mmkd.functional import cka, pcka, pearson, rank

Measure = Literal['cka', 'pcka', 'cosine', 'pearson', 'spearman']
Pair = tuple[Tensor, Tensor]
# Rows of a level that are kept for CKA over all batches; more are thinned out evenly.
ROWS = 4096
# Measures that compare the networks' values one by one, so both need the same number of them.
ALIKE = ('cosine', 'pearson', 'spearman')


def tensors_of(output: Any) -> list[Tensor]:
    """The tensors of an output, also of nested tuples, in their order."""
    if isinstance(output, Tensor):
        return [output]
    parts: Iterable[Any] = output.values() if isinstance(output, dict) else output
    if not isinstance(output, dict | list | tuple):
        return []
    return [tensor for part in parts for tensor in tensors_of(part)]


def check_shapes(pairs: Sequence[Pair], measures: Sequence[Measure], name: str) -> None:
    """Raise ValueError, naming the pair, where a measure cannot compare two outputs."""
    for student, teacher in pairs:
        shapes = f'got {tuple(student.shape)} and {tuple(teacher.shape)}'
        if student.ndim < 2 or student.ndim != teacher.ndim:
            raise ValueError(f'{name}: expected outputs (B, ...) of the same kind, {shapes}')
        for measure in measures:
            if measure == 'pcka' and (student.ndim != 4 or student.shape[2:] != teacher.shape[2:]):
                raise ValueError(
                    f"{name}: 'pcka' compares maps (B, C, H, W) of one height and width, {shapes}; "
                    "use 'cka'"
                )
            if measure in ALIKE and student.shape[1:] != teacher.shape[1:]:
                raise ValueError(
                    f"{name}: {measure!r} compares outputs of one shape, {shapes}; use 'cka'"
                )


class Similarity:
    """Measures of one pair of modules, gathered over batches.

    Args:
        measures: What to compute: ``'cka'`` is unbiased linear CKA of all rows; ``'pcka'`` unbiased
            patch-wise CKA; ``'cosine'``, ``'pearson'`` and ``'spearman'`` are means over rows. A
            row is a sample's vector, or the channels at a position of a map or a token.
        patch_size: Patch size of ``'pcka'``.
        batches: Number of batches to come.
    """

    def __init__(self, measures: Sequence[Measure], patch_size: int, batches: int) -> None:
        self.measures, self.patch_size = measures, patch_size
        self.rows_of_batch = max(1, ROWS // batches)
        self._rows: list[list[Pair]] = []
        self._values: dict[str, list[Tensor]] = {name: [] for name in measures if name != 'cka'}

    def add(self, pairs: Sequence[Pair]) -> None:
        """Add the outputs of a batch: student's and teacher's of each level."""
        self._rows += [[] for _ in range(len(pairs) - len(self._rows))]
        for level, (student, teacher) in enumerate(pairs):
            if 'pcka' in self._values:
                value = pcka(student, teacher, self.patch_size, unbiased=True)
                self._values['pcka'].append(value)
            x, y = _rows(student, teacher)
            if 'cka' in self.measures:
                step = -(-len(x) // self.rows_of_batch)
                self._rows[level].append((x[::step], y[::step]))
            for name in ALIKE:
                if name in self._values:
                    self._values[name].append(_of_rows(name, x, y).mean())

    def values(self) -> Iterator[tuple[str, float]]:
        """Yield each measure with its mean over levels and batches."""
        for name in self.measures:
            if name == 'cka':
                yield name, float(torch.stack([_cka(level) for level in self._rows]).mean())
            else:
                yield name, float(torch.stack(self._values[name]).mean())


def _cka(batches: Sequence[Pair]) -> Tensor:
    x, y = (torch.cat(side) for side in zip(*batches, strict=True))
    return cka(x, y, unbiased=len(x) > 3)


def _rows(student: Tensor, teacher: Tensor) -> Pair:
    """Rows of both outputs; the larger of two maps is averaged to the size of the smaller."""
    student, teacher = student.float(), teacher.float()
    if student.ndim == 4:
        (height, width), (other_height, other_width) = student.shape[2:], teacher.shape[2:]
        size = min(height, other_height), min(width, other_width)
        student, teacher = (F.adaptive_avg_pool2d(map_, size) for map_ in (student, teacher))
        student, teacher = (map_.permute(0, 2, 3, 1) for map_ in (student, teacher))
    return student.flatten(0, -2), teacher.flatten(0, -2)


def _of_rows(name: str, x: Tensor, y: Tensor) -> Tensor:
    if name == 'cosine':
        return F.cosine_similarity(x, y)
    return pearson(x, y) if name == 'pearson' else pearson(rank(x), rank(y))
