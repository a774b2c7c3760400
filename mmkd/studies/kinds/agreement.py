"""Which answers two networks share."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmkd.studies.panels import color_bar, heat_map, name_classes, panels
from mmkd.studies.study import TEACHER, Batch, Findings, Setup, Study

LISTED = 100


class Agreement(Study):
    """How often networks give the same answer, and who is right where they do not.

    The table is that of FKD (Table 4), with the teacher as reference; the matrix of two networks'
    answers is its Fig. 2.
    """

    needs = 'logits'
    min_classes = 2

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._answers = Answers(setup.names, len(setup.classes))

    def add(self, batch: Batch) -> None:
        """Add a batch."""
        logits = {name: each.logits for name, each in batch.by_name().items()}
        answers = {name: each.argmax(1) for name, each in logits.items() if each is not None}
        self._answers.add(answers, batch.labels)

    def finish(self) -> Findings:
        """Shares and counts of all pairs."""
        rows = {name: self._answers.compare(TEACHER, name) for name in self.setup.students}
        numbers = dict(
            samples=self._answers.count,
            agreement=self._answers.agreement().tolist(),
            networks=self.setup.names,
            to_teacher=rows,
        )
        if len(self.setup.classes) <= LISTED:
            numbers['answers'] = {
                name: self._answers.matrix(TEACHER, name).tolist() for name in self.setup.students
            }
        text = ', '.join(f'{name} {100 * row["agreement"]:.1f} %' for name, row in rows.items())
        figure = draw_answers(self._answers, TEACHER, self.setup.students, self.setup.classes)
        return Findings(f'same answer as the teacher: {text}', numbers, {'': figure})


class Answers:
    """The answers of several networks, one number a sample.

    Args:
        names: The networks.
        classes: Number of classes.
    """

    def __init__(self, names: Sequence[str], classes: int) -> None:
        self.names, self.classes = [*names], classes
        self._parts: list[dict[str, Tensor]] = []
        self._labels: list[Tensor] = []

    def add(self, answers: Mapping[str, Tensor], labels: Tensor) -> None:
        """Add the answers (N,) of each network."""
        self._parts.append({name: each.cpu().int() for name, each in answers.items()})
        self._labels.append(labels.cpu().int())

    @property
    def count(self) -> int:
        """Number of samples."""
        return sum(map(len, self._labels))

    def of(self, name: str) -> Tensor:
        """All answers of a network."""
        return torch.cat([part[name] for part in self._parts])

    def labels(self) -> Tensor:
        """All true classes."""
        return torch.cat(self._labels)

    def matrix(self, a: str, b: str) -> Tensor:
        """Number of samples by answer of a (row) and of b (column)."""
        code = self.of(a).long() * self.classes + self.of(b)
        return code.bincount(minlength=self.classes**2).view(self.classes, self.classes)

    def agreement(self) -> Tensor:
        """Share of equal answers of each pair."""
        answers = torch.stack([self.of(name) for name in self.names])
        return (answers[:, None] == answers).double().mean(-1)

    def accuracy(self) -> dict[str, float]:
        """Share of right answers of each network."""
        labels = self.labels()
        return {name: float((self.of(name) == labels).double().mean()) for name in self.names}

    def compare(self, reference: str, other: str) -> dict[str, Any]:
        """Share of equal answers, and who is right of the samples with different ones."""
        a, b, labels = self.of(reference), self.of(other), self.labels()
        differ = a != b
        return dict(
            agreement=float((~differ).double().mean()),
            disagreements=int(differ.sum()),
            reference_right=int((differ & (a == labels)).sum()),
            other_right=int((differ & (b == labels)).sum()),
            neither_right=int((differ & (a != labels) & (b != labels)).sum()),
        )


def draw_answers(
    answers: Answers, reference: str, others: Sequence[str], classes: Sequence[str]
) -> Any:
    """Matrices of the different answers of a reference and of others."""
    figure, (row,) = panels(1, len(others), 3.8, 3.5)
    matrices = []
    for other in others:
        matrix = answers.matrix(reference, other).numpy().astype(float)
        np.fill_diagonal(matrix, np.nan)
        matrices.append(matrix)
    highest = max([1.0, *(float(np.nanmax(m)) for m in matrices if np.isfinite(m).any())])
    for axes, other, matrix in zip(row, others, matrices, strict=True):
        share = answers.compare(reference, other)['agreement']
        title = f'{other}: {100 * share:.1f} % equal answers'
        image = heat_map(axes, matrix, title, 0, highest, 'magma_r')
        axes.set_xlabel(f'answer of {other}', fontsize=8)
        name_classes(axes, classes)
    row[0].set_ylabel(f'answer of {reference}', fontsize=8)
    color_bar(figure, image, row, 'samples with different answers')
    return figure
