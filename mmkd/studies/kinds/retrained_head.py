"""How much of a network's answers its features determine."""

from typing import Any

import torch
from torch import Tensor

from mmkd.studies.kinds.agreement import Answers, draw_answers
from mmkd.studies.study import Batch, Findings, Setup, Study

# Training images for a new head, and its weight decay.
TRAINED = 5000
WEIGHT_DECAY = 5e-4


class RetrainedHead(Study):
    """Replace the last layer by a new one that is trained on the same features.

    FKD Fig. 2 and Table 4. The new layer is the optimum of cross entropy and weight decay
    (multinomial logistic regression), on at most 5000 training images without augmentation. Its
    answers are compared with those of the network itself. Other networks stand beside it: they
    have features of their own.
    """

    needs = 'logits'
    training_images = TRAINED
    min_classes = 2
    kinds = ('classifier',)

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._kept: dict[str, list[Tensor]] = {name: [] for name in ('', *setup.names)}
        self._heads: dict[str, Any] = {}
        self._new = {name: f'{name}, new head' for name in setup.names}
        self._answers = Answers([*setup.names, *self._new.values()], len(setup.classes))

    def learn(self, batch: Batch) -> None:
        """Keep features of training images."""
        self._kept[''].append(batch.labels.cpu())
        for name, each in batch.by_name().items():
            self._kept[name].append(each.features.float().cpu())

    def add(self, batch: Batch) -> None:
        """Compare the answers for a batch."""
        if not self._heads:
            self._heads = {name: self._fit(name) for name in self.setup.names}
        answers: dict[str, Tensor] = {}
        for name, each in batch.by_name().items():
            assert each.logits is not None
            answers[name] = each.logits.argmax(1).cpu()
            found = self._heads[name].predict(each.features.float().cpu().numpy())
            answers[self._new[name]] = torch.from_numpy(found)
        self._answers.add(answers, batch.labels)

    def _fit(self, name: str) -> Any:
        from sklearn.linear_model import LogisticRegression

        labels, features = (torch.cat(self._kept[key]).numpy() for key in ('', name))
        if len(set(labels.tolist())) < 2:
            raise ValueError('head: expected training images of several classes, got one')
        strength = 1 / (WEIGHT_DECAY * len(labels))
        return LogisticRegression(C=strength, max_iter=2000).fit(features, labels)

    def finish(self) -> Findings:
        """Agreement of each network with its new head, and with the others."""
        reference = self.setup.students[0]
        others = [self._new[reference], *(n for n in self.setup.names if n != reference)]
        same = {name: self._answers.compare(name, self._new[name]) for name in self.setup.names}
        numbers = dict(
            samples=self._answers.count,
            training_samples=sum(map(len, self._kept[''])),
            reference=reference,
            to_reference={name: self._answers.compare(reference, name) for name in others},
            to_own_new_head=same,
            accuracy=self._answers.accuracy(),
        )
        text = ', '.join(f'{name} {100 * row["agreement"]:.1f} %' for name, row in same.items())
        figure = draw_answers(self._answers, reference, others, self.setup.classes)
        return Findings(f'same answer with a new head: {text}', numbers, {'': figure})
