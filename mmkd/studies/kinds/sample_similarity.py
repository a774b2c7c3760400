"""How similar a network finds two samples, of one class and of two."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmkd.functional import feature_kernel
from mmkd.functional.numerics import l2_normalize
from mmkd.studies.panels import NAMED, color_bar, heat_map, panels
from mmkd.studies.reservoir import Reservoir
from mmkd.studies.study import TEACHER, Batch, Findings, Setup, Study, shown

BINS = 40
# A heat map shows at most so many samples: more are finer than its pixels.
SHOWN = 400


class SampleSimilarity(Study):
    """Cosine similarities of features, ordered by class.

    CCKD Fig. 4, FKD Fig. 3, 6 and 7: heat maps of the similarities, their squared difference to
    the teacher's, and the histogram of k(x, x) / max k(x, x), the squared length of a feature. The
    mean similarity within and between classes is that of all pairs of samples.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._kept = Reservoir(min(setup.samples, SHOWN), setup.seed)
        self._pairs: dict[str, PairMeans] = {}
        self._lengths: dict[str, list[Tensor]] = {name: [] for name in setup.names}

    def add(self, batch: Batch) -> None:
        """Add a batch."""
        outputs = batch.by_name()
        self._kept.add({'': batch.labels, **{name: o.features for name, o in outputs.items()}})
        for name, each in outputs.items():
            if name not in self._pairs:
                self._pairs[name] = PairMeans(len(self.setup.classes), each.features.shape[1])
            self._pairs[name].add(each.features, batch.labels)
            self._lengths[name].append(each.features.double().square().sum(1).cpu())

    def finish(self) -> Findings:
        """Means of all pairs, and pictures of some samples."""
        lengths = {name: torch.cat(parts) for name, parts in self._lengths.items()}
        lengths = {name: each / each.max().clamp(min=1e-300) for name, each in lengths.items()}
        found = {}
        for name, pairs in self._pairs.items():
            histogram = lengths[name].histc(BINS, 0, 1)
            found[name] = dict(
                **pairs.means(),
                normalized_squared_length=dict(
                    mean=float(lengths[name].mean()),
                    std=float(lengths[name].std(correction=0)),
                    histogram=[int(count) for count in histogram],
                ),
            )
        text = ', '.join(
            f'{name} {shown(f["intra"])} / {shown(f["inter"])}' for name, f in found.items()
        )
        numbers = dict(samples=self._kept.seen, networks=found)
        figures = {'': self._heat_maps(), 'lengths': self._histograms(lengths)}
        return Findings(f'similarity within / between classes: {text}', numbers, figures)

    def _heat_maps(self) -> Any:
        labels = self._kept['']
        order = labels.argsort(stable=True)
        kernels = {name: feature_kernel(self._kept[name][order]) for name in self.setup.names}
        low = min(0.0, *(float(kernel.min()) for kernel in kernels.values()))
        figure, grid = panels(2, len(kernels))
        gaps = {name: (kernel - kernels[TEACHER]).square() for name, kernel in kernels.items()}
        widest = max(float(gap.max()) for gap in gaps.values()) or 1.0
        for column, (name, kernel) in enumerate(kernels.items()):
            image = heat_map(grid[0, column], kernel.numpy(), name, low, 1)
            _mark_classes(grid[0, column], labels[order], self.setup.classes)
            if name == TEACHER:
                grid[1, column].set_axis_off()
                continue
            title = f'({name} - teacher)²'
            gap = heat_map(grid[1, column], gaps[name].numpy(), title, 0, widest, 'magma_r')
            _mark_classes(grid[1, column], labels[order], self.setup.classes)
        color_bar(figure, image, grid[0], 'cosine similarity')
        color_bar(figure, gap, grid[1], 'squared difference')
        return figure

    def _histograms(self, lengths):
        figure, ((axes,),) = panels(1, 1, 6, 3.6)
        for name, values in lengths.items():
            axes.hist(
                values.numpy(), BINS, (0, 1), histtype='step', density=True, label=name, lw=1.5
            )
        axes.set(xlabel='k(x, x) / max k(x, x)', ylabel='density')
        axes.set_title('Squared length of the features', fontsize=10)
        axes.legend(fontsize=7)
        return figure


class PairMeans:
    """Mean cosine similarity of all pairs of a stream, within and between classes.

    The sum over the pairs of a class is the squared length of the sum of its unit features less
    their number, so no pair is formed.

    Args:
        classes: Number of classes.
        width: Of the features.
    """

    def __init__(self, classes: int, width: int) -> None:
        self._sums = torch.zeros(classes, width, dtype=torch.double)
        # Squared lengths of unit rows: 1, or 0 for a row of zeros.
        self._own = torch.zeros(classes, dtype=torch.double)
        self._counts = torch.zeros(classes, dtype=torch.double)

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Add rows (N, D) and their classes (N,)."""
        unit, labels = l2_normalize(features).double().cpu(), labels.cpu()
        self._sums.index_add_(0, labels, unit)
        self._own.index_add_(0, labels, unit.square().sum(1))
        self._counts += labels.bincount(minlength=len(self._counts))

    def means(self) -> dict[str, Any]:
        """Mean similarity of two samples of one class, of two classes, and within each class."""
        within = self._sums.square().sum(1) - self._own
        pairs = self._counts * (self._counts - 1)
        between = self._sums.sum(0).square().sum() - self._sums.square().sum()
        other_pairs = self._counts.sum() ** 2 - self._counts.square().sum()
        return dict(
            intra=float(within.sum() / pairs.sum()),
            inter=float(between / other_pairs),
            intra_of_classes=(within / pairs).tolist(),
        )


def _mark_classes(axes: Any, labels: Tensor, classes: Any) -> None:
    """Lines between the classes, and the names of few."""
    axes.set_xticks([])
    axes.set_yticks([])
    if len(classes) > NAMED:
        return
    ends = labels.bincount(minlength=len(classes)).cumsum(0).numpy()
    for end in ends[:-1]:
        axes.axhline(end - 0.5, color='white', lw=0.3)
        axes.axvline(end - 0.5, color='white', lw=0.3)
    middles = (ends + np.concatenate([[0], ends[:-1]])) / 2
    axes.set_yticks(middles - 0.5, [*classes], fontsize=6)
