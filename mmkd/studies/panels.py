"""Panels of pictures that several studies share."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Class names are written out up to this many.
NAMED = 20


def panels(rows: int, columns: int, width: float = 3.6, height: float = 3.4) -> Any:
    """A figure, and its axes as an array (rows, columns)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout='constrained')
    return figure, figure.subplots(rows, columns, squeeze=False)


def heat_map(
    axes: 'Axes',
    values: np.ndarray,
    title: str,
    low: float | None = 0,
    high: float | None = 1,
    colors: str = 'viridis',
) -> Any:
    """Draw a matrix, the first row on top."""
    axes.set_title(title, fontsize=9)
    return axes.imshow(
        values, vmin=low, vmax=high, cmap=colors, interpolation='nearest', aspect='auto'
    )


def color_bar(figure: 'Figure', image: Any, axes: Any, label: str) -> None:
    """One scale for several panels."""
    figure.colorbar(image, ax=axes, shrink=0.8).set_label(label, fontsize=8)


def name_classes(axes: 'Axes', classes: Sequence[str], x: bool = True, y: bool = True) -> None:
    """Write the names of few classes at the axes of a matrix of classes."""
    if len(classes) > NAMED:
        return
    places = range(len(classes))
    if x:
        axes.set_xticks(places, [*classes], rotation=90, fontsize=6)
    if y:
        axes.set_yticks(places, [*classes], fontsize=6)


def bars(axes: 'Axes', values: Mapping[str, Mapping[str, float]], label: str) -> None:
    """Groups of bars.

    Args:
        axes: Where to draw.
        values: Height of each bar by group and name.
        label: Of the heights.
    """
    names = [*next(iter(values.values()))]
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        places = np.arange(len(values)) + (number - (len(names) - 1) / 2) * width
        axes.bar(places, [group[name] for group in values.values()], width, label=name)
    axes.set_xticks(range(len(values)), [*values], fontsize=8)
    axes.set_ylabel(label, fontsize=8)
    axes.grid(axis='y', alpha=0.3)
    axes.margins(y=0.25)  # room for the legend
    axes.legend(fontsize=7, loc='upper left')
