"""Where the logits of teacher and student differ, class by class."""

from typing import Any

import torch
from torch import Tensor

from mmkd.studies.kernels import Moments
from mmkd.studies.panels import color_bar, heat_map, name_classes, panels
from mmkd.studies.study import Batch, Findings, Setup, Study

# The JSON has the matrices of up to this many classes.
LISTED = 100


class ClassMatrices(Study):
    """Logit differences and class correlations.

    CMKD Fig. 2 and Fig. 9. Logit difference: the mean distance of the two networks' logits of a
    class, over the samples of a true class. Class correlation: the correlation of two classes'
    logits over all samples, and the absolute difference of the two networks' correlations.
    """

    needs = 'logits'
    min_classes = 2

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        classes = len(setup.classes)
        self._counts = torch.zeros(classes, dtype=torch.double)
        self._distances = {
            name: torch.zeros(classes, classes, dtype=torch.double) for name in setup.students
        }
        self._moments = {name: Moments(classes) for name in setup.students}

    def add(self, batch: Batch) -> None:
        """Add a batch."""
        labels = batch.labels.cpu()
        self._counts += labels.bincount(minlength=len(self._counts))
        for name, student in batch.students.items():
            assert student.logits is not None
            assert batch.teacher.logits is not None
            distance = (student.logits - batch.teacher.logits).abs().double().cpu()
            self._distances[name].index_add_(0, labels, distance)
            self._moments[name].add(student.logits, batch.teacher.logits)

    def finish(self) -> Findings:
        """Matrices, and the classes that differ most."""
        matrices = {name: self._matrices(name) for name in self.setup.students}
        students: dict[str, Any] = {}
        for name, (distance, of_student, of_teacher) in matrices.items():
            gap = (of_student - of_teacher).abs()
            students[name] = dict(
                logit_difference=float(distance.nanmean()),
                correlation_difference=float(gap.nanmean()),
                most_different_pair=self._most_different(gap),
            )
            if len(self.setup.classes) <= LISTED:
                students[name] |= dict(
                    logit_differences=distance.tolist(),
                    class_correlations=of_student.tolist(),
                    teacher_class_correlations=of_teacher.tolist(),
                )
        text = ', '.join(
            f'{name} {found["logit_difference"]:.2f} / {found["correlation_difference"]:.3f}'
            for name, found in students.items()
        )
        numbers = dict(classes=[*self.setup.classes], students=students)
        line = f'mean difference of logits / of class correlations: {text}'
        return Findings(line, numbers, {'': self._draw(matrices)})

    def _matrices(self, name: str) -> tuple[Tensor, Tensor, Tensor]:
        """Logit differences (NaN without samples), and the correlations of both networks."""
        return self._distances[name] / self._counts[:, None], *self._moments[name].correlations()

    def _most_different(self, gap: Tensor) -> list[str]:
        place = int(gap.nan_to_num(-1).argmax())
        return [self.setup.classes[i] for i in divmod(place, len(gap))]

    def _draw(self, matrices):
        figure, grid = panels(len(matrices), 4, 3.8, 3.5)
        highest = max(float(each[0].nan_to_num().max()) for each in matrices.values())
        gaps = {name: (each[1] - each[2]).abs() for name, each in matrices.items()}
        widest = max(float(gap.nan_to_num().max()) for gap in gaps.values())
        for row, (name, (distance, of_student, of_teacher)) in zip(
            grid, matrices.items(), strict=True
        ):
            images = [
                heat_map(row[0], distance, f'{name}: logit difference', 0, highest, 'magma_r'),
                heat_map(row[1], of_teacher, 'teacher: class correlation', -1, 1, 'RdBu_r'),
                heat_map(row[2], of_student, f'{name}: class correlation', -1, 1, 'RdBu_r'),
                heat_map(row[3], gaps[name], f'{name}: their difference', 0, widest, 'magma_r'),
            ]
            for axes, image in zip(row, images, strict=True):
                color_bar(figure, image, axes, '')
                name_classes(axes, self.setup.classes)
            row[0].set_ylabel('true class', fontsize=8)
        return figure
