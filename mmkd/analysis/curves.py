"""Curves of the task loss and the similarity to the teacher."""

from collections.abc import Mapping
from pathlib import Path

from mmkd.analysis.results import Run


def plot_curves(runs: Mapping[str, Run], path: str | Path) -> None:
    """Plot task loss over steps and similarity over epochs, one line a run, as a PNG.

    Args:
        runs: Runs by name in the legend.
        path: File to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout='constrained')
    loss, similarity = figure.subplots(1, 2)
    for name, run in runs.items():
        loss.plot(*zip(*run.task_loss, strict=True), label=name)
        if run.similarity:
            similarity.plot(*zip(*run.similarity, strict=True), marker='.', label=name)
    loss.set(xlabel='step', ylabel='task loss (without distillation)', title='Training loss')
    similarity.set(
        xlabel='epoch',
        ylabel='PCKA, unbiased',
        title='Similarity to the teacher (validation images)',
    )
    for axes in (loss, similarity):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)
