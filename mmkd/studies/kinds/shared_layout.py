"""Features of all networks in one layout of two dimensions."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmkd.functional.numerics import l2_normalize
from mmkd.studies.panels import NAMED, panels
from mmkd.studies.reservoir import Reservoir
from mmkd.studies.study import Batch, Findings, Setup, Study, shown

ANCHORS = 300
MIN_SAMPLES = 5


class SharedLayout(Study):
    """t-SNE or UMAP of the teacher's and the students' features, in one layout.

    DLKD Fig. 2, CMKD Fig. 10. Features of different widths have no common space. So each sample is
    described by its cosine similarities to the same anchor samples, in its own network. One layout
    then holds all networks: equal features of a sample land at the same place. Silhouettes are
    those of the features themselves, with cosine distances.
    """

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._kept = Reservoir(setup.samples, setup.seed)

    def add(self, batch: Batch) -> None:
        """Add a batch."""
        outputs = batch.by_name()
        self._kept.add({'': batch.labels, **{name: o.features for name, o in outputs.items()}})

    def finish(self) -> Findings:
        """The layout, how well it keeps neighbors, and the silhouette of the classes."""
        if len(self._kept) < MIN_SAMPLES:
            raise ValueError(
                f'embedding: expected at least {MIN_SAMPLES} samples, got {len(self._kept)}'
            )
        from sklearn.manifold import trustworthiness

        labels = self._kept[''].numpy()
        units = {name: l2_normalize(self._kept[name]) for name in self.setup.names}
        rows = torch.cat([unit @ unit[: self._anchors()].mT for unit in units.values()]).numpy()
        places = self._layout(rows)
        neighbors = min(5, (len(rows) - 1) // 2)
        silhouettes = {name: _silhouette(unit, labels) for name, unit in units.items()}
        numbers = dict(
            samples=len(labels),
            layout=self.setup.layout,
            trustworthiness=float(trustworthiness(rows, places, n_neighbors=neighbors)),
            silhouette=silhouettes,
        )
        text = ', '.join(f'{name} {shown(value)}' for name, value in silhouettes.items())
        parts = dict(zip(units, np.split(places, len(units)), strict=True))
        return Findings(
            f'silhouette of the classes: {text}', numbers, {'': self._draw(parts, labels)}
        )

    def _anchors(self) -> int:
        return min(ANCHORS, len(self._kept))

    def _layout(self, rows: np.ndarray) -> np.ndarray:
        if self.setup.layout == 'umap':
            try:
                from umap import UMAP
            except ImportError as error:
                raise ImportError(
                    'layout: umap needs umap-learn; install it with `pip install mmkd[umap]`'
                ) from error
            return np.asarray(UMAP(random_state=self.setup.seed).fit_transform(rows))
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(rows) - 1) / 3)
        return TSNE(perplexity=perplexity, init='pca', random_state=self.setup.seed).fit_transform(
            rows
        )

    def _draw(self, places: dict[str, np.ndarray], labels: np.ndarray) -> Any:
        figure, (row,) = panels(1, len(places), 3.8, 3.8)
        everything = np.concatenate([*places.values()])
        margin = 0.03 * np.ptp(everything, 0)
        low, high = everything.min(0) - margin, everything.max(0) + margin
        classes = self.setup.classes
        for axes, (name, points) in zip(row, places.items(), strict=True):
            colors = 'tab10' if len(classes) <= 10 else 'tab20' if len(classes) <= NAMED else 'hsv'
            drawn = axes.scatter(
                *points.T, c=labels, s=6, cmap=colors, vmin=0, vmax=_colors(len(classes)), lw=0
            )
            axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
            axes.set_title(name, fontsize=9)
        if len(classes) <= NAMED:
            present = [int(label) for label in np.unique(labels)]
            handles = [_dot(drawn.cmap(drawn.norm(label))) for label in present]
            figure.legend(
                handles, [classes[label] for label in present], loc='outside right', fontsize=7
            )
        return figure


def _colors(classes: int) -> int:
    return 9 if classes <= 10 else 19 if classes <= NAMED else classes


def _dot(color: Any) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], marker='o', ls='', color=color, markersize=5)


def _silhouette(unit: Tensor, labels: np.ndarray) -> float:
    """Silhouette coefficient with cosine distances; NaN where it is undefined."""
    from sklearn.metrics import silhouette_score

    found = len(np.unique(labels))
    if not 1 < found < len(labels):
        return float('nan')
    return float(silhouette_score(unit.numpy(), labels, metric='cosine'))
