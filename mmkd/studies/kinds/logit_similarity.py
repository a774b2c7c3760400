"""How alike the logits of teacher and students are, epoch by epoch."""

import torch

from mmkd.functional import pearson, rank
from mmkd.studies.kernels import Moments
from mmkd.studies.panels import bars, panels
from mmkd.studies.study import Batch, Findings, Setup, Study

MEASURES = {
    'cka': 'CKA of samples',
    'class_cka': 'CKA of classes',
    'pearson': 'Pearson',
    'spearman': 'Spearman',
}


class LogitSimilarity(Study):
    """CKA, Pearson and Spearman correlation of the logits.

    RCKA Fig. 5, CMKD Fig. 3. CKA is that of all samples, not of batches: rows are samples, or
    classes. Pearson and Spearman correlate the classes of a sample; the value is the mean over
    samples. Students of different epochs make curves.
    """

    needs = 'logits'
    min_classes = 2

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._moments = {name: Moments(len(setup.classes)) for name in setup.students}
        self._sums = {name: torch.zeros(2, dtype=torch.double) for name in setup.students}

    def add(self, batch: Batch) -> None:
        """Add a batch."""
        teacher = batch.teacher.logits
        assert teacher is not None
        for name, each in batch.students.items():
            student = each.logits
            assert student is not None
            self._moments[name].add(student, teacher)
            values = pearson(student, teacher), pearson(rank(student), rank(teacher))
            self._sums[name] += torch.stack([each.double().sum().cpu() for each in values])

    def finish(self) -> Findings:
        """Means over all samples, and a picture."""
        found = {name: self._values(name) for name in self.setup.students}
        last = [*found][-1]
        text = ', '.join(f'{MEASURES[key]} {value:.3f}' for key, value in found[last].items())
        numbers = dict(
            samples=self._moments[last].count,
            students={
                name: dict(epoch=epoch, **found[name])
                for name, epoch in zip(self.setup.students, self._epochs(), strict=True)
            },
        )
        return Findings(f'{last}: {text}', numbers, {'': self._draw(found)})

    def _values(self, name: str) -> dict[str, float]:
        moments = self._moments[name]
        linear, ranks = (self._sums[name] / max(moments.count, 1)).tolist()
        values = moments.sample_cka(), moments.class_cka(), linear, ranks
        return dict(zip(MEASURES, values, strict=True))

    def _epochs(self) -> list[int | None]:
        return [*self.setup.epochs] or [None] * len(self.setup.students)

    def _draw(self, found):
        figure, ((axes,),) = panels(1, 1, 6, 3.8)
        epochs = self._epochs()
        known = [epoch for epoch in epochs if epoch is not None]
        if len({*known}) == len(epochs) > 1:
            order = sorted(zip(known, self.setup.students, strict=True))
            for key, label in MEASURES.items():
                values = [found[name][key] for _, name in order]
                axes.plot([epoch for epoch, _ in order], values, marker='.', label=label)
            axes.set_xlabel('epoch')
            axes.grid(alpha=0.3)
            axes.legend(fontsize=7)
        else:
            titles = {MEASURES[key]: {n: v[key] for n, v in found.items()} for key in MEASURES}
            bars(axes, titles, '')
        axes.set_title('Similarity of the logits to the teacher', fontsize=10)
        return figure
