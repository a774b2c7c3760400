"""Curves of the task loss and the similarity to the teacher."""

from collections.abc import Mapping
from pathlib import Path

from mmkd.analysis.results import Run


def plot_curves(runs: Mapping[str, Run], path: str | Path) -> None:
    """Plot task loss over steps and similarity over epochs, one line a run, as a PNG.

    Without a run that measured the similarity (``mmkd.FeatureSimilarityHook``), the loss is alone.

    Args:
        runs: Runs by name in the legend.
        path: File to write.
    """
    from matplotlib.figure import Figure

    measured = {name: run for name, run in runs.items() if run.similarity}
    panels = 2 if measured else 1
    figure = Figure(figsize=(5 * panels, 4), layout='constrained')
    loss, *others = figure.subplots(1, panels, squeeze=False)[0]
    for name, run in runs.items():
        loss.plot(*zip(*run.task_loss, strict=True), label=name)
    loss.set(xlabel='step', ylabel='task loss (without distillation)', title='Training loss')
    for similarity in others:
        for name, run in measured.items():
            similarity.plot(*zip(*run.similarity, strict=True), marker='.', label=name)
        similarity.set(
            xlabel='epoch',
            ylabel='PCKA, unbiased',
            title='Similarity to the teacher (validation images)',
        )
    for axes in (loss, *others):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=120)
