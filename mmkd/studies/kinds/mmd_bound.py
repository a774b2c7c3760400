"""The bound of CKA by the distance of mean similarities, checked on features."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmkd.studies.kernels import centered, linear_gram
from mmkd.studies.panels import panels
from mmkd.studies.study import TEACHER, Batch, Findings, Setup, Study

ROWS = 64
MIN_ROWS = 4
CENTERING = {'plain': False, 'centered': True}


class MMDBound(Study):
    """PCKA's Theorem 2 on batches of features.

    Zhou et al., IJCAI 2024: https://arxiv.org/abs/2401.11824. For Gram matrices K and L of norm 1,
    CKA = 1 - N^2 / 2 * mean (K - L)^2 <= 1 - N^2 / 2 * (mean K - mean L)^2. The theorem prints
    -N mean (K - L)^2 + 2 instead; the study also says how far that is off. Centered Gram
    matrices have the mean 0, so their bound is 1.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._waiting: list[dict[str, Tensor]] = []
        self._found: dict[tuple[str, str], list[dict[str, float]]] = {
            (student, kind): [] for student in setup.students for kind in CENTERING
        }

    def add(self, batch: Batch) -> None:
        """Check a batch; small ones wait for more."""
        self._waiting.append({n: o.features.double() for n, o in batch.by_name().items()})
        if sum(len(next(iter(rows.values()))) for rows in self._waiting) >= ROWS:
            self._check()

    def _check(self) -> None:
        rows = {
            name: torch.cat([each[name] for each in self._waiting]) for name in self.setup.names
        }
        self._waiting = []
        chunks = zip(*(each.split(ROWS) for each in rows.values()), strict=True)
        for chunk in (dict(zip(rows, each, strict=True)) for each in chunks):
            if len(chunk[TEACHER]) < MIN_ROWS:
                continue
            for (student, kind), found in self._found.items():
                found.append(theorem(chunk[student], chunk[TEACHER], CENTERING[kind]))

    def finish(self) -> Findings:
        """Largest gap of the equation, smallest of the inequality."""
        if self._waiting:
            self._check()
        students = {
            student: {kind: _summary(self._found[student, kind]) for kind in CENTERING}
            for student in self.setup.students
        }
        plain = [each['plain'] for each in students.values()]
        if not plain[0]['batches']:
            raise ValueError(f'mmd: expected at least {MIN_ROWS} samples, got fewer')
        held = all(each['holds'] for found in students.values() for each in found.values())
        off = max(each['printed_error'] for each in plain)
        line = (
            f'bound {"holds" if held else "fails"} on {plain[0]["batches"]} batches; the equation '
            f'as printed is off by up to {off:.3g}'
        )
        return Findings(line, dict(students=students), {'': self._draw()})

    def _draw(self) -> Any:
        figure, ((axes,),) = panels(1, 1, 4.6, 4.2)
        smallest = 1.0
        for student in self.setup.students:
            found = self._found[student, 'plain']
            points = [(max(1 - each['bound'], 1e-9), 1 - each['cka']) for each in found]
            smallest = min(smallest, *(x for x, _ in points))
            axes.loglog(*zip(*points, strict=True), 'o', label=student, markersize=4)
        axes.loglog([smallest, 1], [smallest, 1], color='gray', ls='--', lw=1, label='equality')
        axes.set(xlabel='N² / 2 · (mean K - mean L)²', ylabel='1 - CKA')
        axes.set_title('Not centered, one point a batch', fontsize=9)
        axes.legend(fontsize=7)
        return figure


def theorem(x: Tensor, y: Tensor, center: bool) -> dict[str, float]:
    """CKA of rows (N, P) and (N, Q), and what the theorem says of it.

    Returns:
        ``cka``; ``equation``, which equals it; ``bound``, which is not below it; ``printed``, the
        equation as the paper prints it. All NaN for rows without a difference.
    """
    grams = [linear_gram(each) for each in (x, y)]
    if center:
        grams = [centered(each) for each in grams]
    k, l = (each / each.norm() for each in grams)  # noqa: E741  (the paper's names)
    rows = len(k)
    square = (k - l).square().mean()
    values = dict(
        cka=(k * l).sum(),
        equation=1 - rows**2 / 2 * square,
        bound=1 - rows**2 / 2 * (k.mean() - l.mean()).square(),
        printed=2 - rows * square,
    )
    return {name: float(value) for name, value in values.items()}


def _summary(found: list[Mapping[str, float]] | list[dict[str, float]]) -> dict[str, Any]:
    def largest(first: str, second: str) -> float:
        return max((each[first] - each[second] for each in found), default=float('nan'))

    errors = [abs(each['cka'] - each['printed']) for each in found]
    gap = max((abs(each['cka'] - each['equation']) for each in found), default=float('nan'))
    above = largest('cka', 'bound')
    return dict(
        batches=len(found),
        holds=bool(gap < 1e-6 and above < 1e-6),
        equation_error=gap,
        above_bound=above,
        printed_error=max(errors, default=float('nan')),
        cka=[each['cka'] for each in found],
        bound=[each['bound'] for each in found],
    )
