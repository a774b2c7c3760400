"""CKA of each layer of the teacher with each layer of a student."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmkd.studies.kernels import MinibatchCKA, linear_gram, median_distance, rbf_gram
from mmkd.studies.panels import color_bar, heat_map, panels
from mmkd.studies.study import TEACHER, Batch, Findings, Setup, Study, shown

# Batches are joined up to this many rows: the estimator's variance falls with them.
ROWS = 64
MIN_ROWS = 4
# Bandwidth of the RBF kernel in median distances (Kornblith et al. 2019, sec. 6).
BANDWIDTH = 0.4
KERNELS = {'linear': 'linear, unbiased', 'rbf': 'RBF, unbiased', 'linear_biased': 'linear, biased'}


class LayerAlignment(Study):
    """Layer-by-layer CKA matrices of the teacher and each student.

    DLKD Fig. 3, RCKA Fig. 5 (Kornblith et al. 2019: https://arxiv.org/abs/1905.00414). Linear and
    RBF CKA by the unbiased minibatch estimator, and linear CKA by the biased one, which is high
    for wide layers and few samples.
    """

    needs = 'layers'

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._waiting: list[dict[tuple[str, str], Tensor]] = []
        self._bandwidth: dict[tuple[str, str], Tensor] = {}
        self._found = {
            student: {kernel: MinibatchCKA(kernel != 'linear_biased') for kernel in KERNELS}
            for student in setup.students
        }
        self._layers: dict[str, list[str]] = {}
        self._rows = 0

    def add(self, batch: Batch) -> None:
        """Add a batch; small ones wait for more."""
        outputs = batch.by_name()
        self._layers = self._layers or {name: [*each.layers] for name, each in outputs.items()}
        rows = {
            (name, layer): values.detach().float()
            for name, each in outputs.items()
            for layer, values in each.layers.items()
        }
        self._waiting.append(rows)
        if sum(map(_count, self._waiting)) >= ROWS:
            self._use_waiting()

    def _use_waiting(self) -> None:
        rows = {key: torch.cat([each[key] for each in self._waiting]) for key in self._waiting[0]}
        self._waiting = []
        self._rows += _count(rows)
        linear = {key: linear_gram(values) for key, values in rows.items()}
        rbf = {key: rbf_gram(values, self._scale(key, values)) for key, values in rows.items()}
        for student, found in self._found.items():
            mine = [key for key in rows if key[0] in (TEACHER, student)]
            for kernel, estimator in found.items():
                grams = rbf if kernel == 'rbf' else linear
                estimator.add(torch.stack([grams[key] for key in mine]))

    def _scale(self, key: tuple[str, str], values: Tensor) -> Tensor:
        """The bandwidth of a layer, chosen on the first rows: all batches have one kernel."""
        if key not in self._bandwidth:
            self._bandwidth[key] = BANDWIDTH * median_distance(values)
        return self._bandwidth[key]

    def finish(self) -> Findings:
        """Matrices of all rows, except for three or fewer at the end."""
        left = sum(map(_count, self._waiting))
        if left >= MIN_ROWS:
            self._use_waiting()
            left = 0
        if not self._rows:
            raise ValueError(f'cka: expected at least {MIN_ROWS} samples, got {left}')
        teacher = self._layers[TEACHER]
        matrices = {
            student: {
                kernel: estimator.matrix()[: len(teacher), len(teacher) :]
                for kernel, estimator in found.items()
            }
            for student, found in self._found.items()
        }
        numbers = dict(
            samples=self._rows,
            left_out=left,
            teacher_layers=teacher,
            students={
                student: dict(layers=self._layers[student], **_lists(found))
                for student, found in matrices.items()
            },
        )
        last = {name: float(found['linear'][-1, -1]) for name, found in matrices.items()}
        line = ', '.join(f'{name} {shown(value)}' for name, value in last.items())
        return Findings(f'CKA of the last layers: {line}', numbers, {'': self._draw(matrices)})

    def _draw(self, matrices: Mapping[str, Mapping[str, Tensor]]) -> Any:
        sides = [len(self._layers[name]) for name in self._layers]
        width, height = 2.6 + 0.17 * max(sides), 2.2 + 0.17 * sides[0]
        figure, grid = panels(len(matrices), len(KERNELS), width, height)
        for row, (student, found) in zip(grid, matrices.items(), strict=True):
            for axes, (kernel, title) in zip(row, KERNELS.items(), strict=True):
                image = heat_map(axes, found[kernel].numpy(), f'{student}: {title}', 0, 1, 'magma')
                layers = self._layers[student]
                axes.set_xticks(range(len(layers)), layers, rotation=90, fontsize=6)
                axes.set_yticks(range(sides[0]), self._layers[TEACHER], fontsize=6)
            row[0].set_ylabel('teacher', fontsize=8)
        color_bar(figure, image, grid, 'CKA')
        return figure


def _count(rows: Mapping[Any, Tensor]) -> int:
    return len(next(iter(rows.values())))


def _lists(matrices: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: matrix.tolist() for name, matrix in matrices.items()}
