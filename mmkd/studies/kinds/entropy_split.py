"""Samples of which the teacher is sure, and those of which it is not."""

from typing import Any

import numpy as np
import torch

from mmkd.functional import pearson, rank
from mmkd.functional.cmkd import entropy
from mmkd.studies.panels import bars, panels
from mmkd.studies.study import TEACHER, Batch, Findings, Setup, Study


class EntropySplit(Study):
    """The teacher's entropies, split at their mean as CMKD splits them.

    Niu et al. 2024, eq. 14 and 16: https://arxiv.org/abs/2410.06561. For either half: accuracy of
    each network, and the students' Pearson and Spearman correlation with the teacher. The entropy
    is that of the softmax of the logits, also for a detector with scores of single classes.
    """

    needs = 'logits'
    min_classes = 2

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._columns: dict[str, list[torch.Tensor]] = {}

    def add(self, batch: Batch) -> None:
        """Add a batch: a few numbers of each sample are kept."""
        teacher = batch.teacher.logits
        assert teacher is not None
        values = {'entropy': entropy(teacher)}
        for name, each in batch.by_name().items():
            assert each.logits is not None
            values[f'right {name}'] = each.logits.argmax(1).cpu() == batch.labels.cpu()
            if name != TEACHER:
                values[f'pearson {name}'] = pearson(each.logits, teacher)
                values[f'spearman {name}'] = pearson(rank(each.logits), rank(teacher))
        for key, value in values.items():
            self._columns.setdefault(key, []).append(value.double().cpu())

    def finish(self) -> Findings:
        """Means of both halves."""
        columns = {key: torch.cat(parts).numpy() for key, parts in self._columns.items()}
        entropies = columns.pop('entropy')
        mean = float(entropies.mean())
        halves = {'unsure': entropies >= mean, 'sure': entropies < mean}
        found = {half: self._half(columns, chosen) for half, chosen in halves.items()}
        shares = {half: float(chosen.mean()) for half, chosen in halves.items()}
        numbers: dict[str, Any] = dict(
            samples=len(entropies), mean_entropy=mean, share=shares, halves=found
        )
        unsure = found['unsure']['accuracy']
        text = ', '.join(f'{name} {100 * value:.1f} %' for name, value in unsure.items())
        line = f'teacher unsure of {100 * shares["unsure"]:.0f} %; accuracy there: {text}'
        return Findings(line, numbers, {'': self._draw(entropies, mean, found)})

    def _half(self, columns: dict[str, np.ndarray], chosen: np.ndarray) -> dict[str, Any]:
        def means(kind: str, names: Any) -> dict[str, float]:
            values = {name: columns[f'{kind} {name}'][chosen] for name in names}
            return {name: float(v.mean()) if v.size else np.nan for name, v in values.items()}

        return dict(
            accuracy=means('right', self.setup.names),
            pearson=means('pearson', self.setup.students),
            spearman=means('spearman', self.setup.students),
        )

    def _draw(self, entropies: np.ndarray, mean: float, found: dict[str, Any]) -> Any:
        figure, (row,) = panels(1, 3, 3.8, 3.4)
        row[0].hist(entropies, 40)
        row[0].axvline(mean, color='black', ls='--', label=f'mean {mean:.2f}')
        row[0].set_yscale('log')
        row[0].set(xlabel='entropy of the teacher in nats', ylabel='samples')
        row[0].legend(fontsize=7)
        bars(row[1], {half: each['accuracy'] for half, each in found.items()}, 'accuracy')
        correlations = {
            f'{measure}\n{half}': found[half][measure]
            for measure in ('pearson', 'spearman')
            for half in found
        }
        bars(row[2], correlations, 'correlation with the teacher')
        return figure
