"""Whether a network's confidence is the share of its right answers."""

import torch

from mmkd.studies.panels import panels
from mmkd.studies.study import Batch, Findings, Setup, Study

BINS = 15


class Calibration(Study):
    """Expected calibration error and reliability diagram.

    Guo et al. 2017: https://arxiv.org/abs/1706.04599. The confidence is the largest score of a
    sample, in 15 bins of equal width. A detector's samples are true objects: the study says
    whether it knows their classes, not how many of its boxes are right.
    """

    needs = 'logits'
    min_classes = 2

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        # For each bin: samples, their confidence, right answers.
        self._bins = {name: torch.zeros(3, BINS, dtype=torch.double) for name in setup.names}
        self._likelihood = {name: torch.zeros(2, dtype=torch.double) for name in setup.names}

    def add(self, batch: Batch) -> None:
        """Add a batch."""
        labels = batch.labels
        for name, each in batch.by_name().items():
            scores = each.probabilities().double().cpu()
            confidence, answers = scores.max(1)
            # A bin holds its upper edge.
            place = ((confidence * BINS).ceil().long() - 1).clamp(0, BINS - 1)
            values = torch.ones_like(confidence), confidence, (answers == labels.cpu()).double()
            for total, value in zip(self._bins[name], values, strict=True):
                total.index_add_(0, place, value)
            truth = torch.nn.functional.one_hot(labels.cpu(), scores.shape[1])
            likelihood = scores.gather(1, labels.cpu()[:, None]).clamp(min=1e-12)
            self._likelihood[name] += torch.stack(
                [-likelihood.log().sum(), (scores - truth).square().sum()]
            )

    def finish(self) -> Findings:
        """Errors of all networks, and the diagrams."""
        found = {}
        for name, (count, confidence, right) in self._bins.items():
            total = count.sum()
            gap = (right - confidence).abs()
            negative_log_likelihood, brier = (self._likelihood[name] / total).tolist()
            found[name] = dict(
                ece=float(gap.sum() / total),
                largest_gap=float((gap / count).nan_to_num().max()),
                accuracy=float(right.sum() / total),
                confidence=float(confidence.sum() / total),
                negative_log_likelihood=negative_log_likelihood,
                brier=brier,
                bins=dict(
                    samples=count.long().tolist(),
                    confidence=(confidence / count).tolist(),
                    accuracy=(right / count).tolist(),
                ),
            )
        text = ', '.join(f'{name} {100 * each["ece"]:.1f} %' for name, each in found.items())
        numbers = dict(samples=int(total), networks=found)
        return Findings(f'expected calibration error: {text}', numbers, {'': self._draw(found)})

    def _draw(self, found):
        figure, (row,) = panels(1, len(found), 3.4, 3.4)
        edges = torch.arange(BINS) / BINS
        for axes, (name, each) in zip(row, found.items(), strict=True):
            accuracy = torch.tensor(each['bins']['accuracy']).nan_to_num()
            share = torch.tensor(each['bins']['samples']) / sum(each['bins']['samples'])
            axes.bar(edges, accuracy, 1 / BINS, align='edge', edgecolor='white', label='accuracy')
            axes.step(
                edges, share, where='post', color='tab:orange', lw=1, label='share of samples'
            )
            axes.plot([0, 1], [0, 1], color='gray', ls='--', lw=1)
            axes.set(xlim=(0, 1), ylim=(0, 1), xlabel='confidence')
            axes.set_title(f'{name}: ECE {100 * each["ece"]:.1f} %', fontsize=9)
        row[0].legend(fontsize=7, loc='upper left')
        return figure
