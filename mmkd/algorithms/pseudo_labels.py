"""A teacher's predictions as the ground truth of unlabeled images."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement, InstanceData
from mmrazor.models.utils import add_prefix
from torch import Tensor

from mmkd.functional.checks import check_non_negative, is_score
from mmkd.teachers import FrozenTeacher

SMALLEST = 1.0  # pixels; a thinner box has no area to learn from


class PseudoLabels:
    """Label images by what a teacher predicts on them.

    A detector gives each image its boxes of at least ``score``. A classifier gives each image its
    most probable class, whatever its score.

    Args:
        score: Smallest score of a predicted box. Default: 0.3.
        weight: Factor of the student's own losses on these labels. The distillation losses do not
            depend on it. Default: 1.0.
        labels: The student's label for each of the teacher's labels. Boxes of other labels are left
            out. Default: the same labels.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self, score: float = 0.3, weight: float = 1.0, labels: Mapping[int, int] | None = None
    ) -> None:
        if not is_score(score):
            raise ValueError(f'pseudo_labels.score: expected a score in (0, 1), got {score!r}')
        check_non_negative('pseudo_labels.weight', weight)
        self.score, self.weight = score, weight
        self.labels = None if labels is None else {int(k): int(v) for k, v in labels.items()}

    def label(
        self, teacher: FrozenTeacher, inputs: Tensor, data_samples: Sequence[BaseDataElement]
    ) -> None:
        """Write the labels into samples.

        Args:
            teacher: The teacher.
            inputs: Images (B, 3, H, W), preprocessed for the student.
            data_samples: Their samples. Detectors get ``gt_instances``, in pixels of the input,
                classifiers ``gt_label``.
        """
        is_detector = not hasattr(data_samples[0], 'set_gt_label')
        # Predictions stay in the coordinates of the input.
        arguments = dict(rescale=False) if is_detector else {}
        copies = [sample.clone() for sample in data_samples]
        predicted = teacher.apply(
            lambda model, images: model.predict(images, copies, **arguments), inputs, data_samples
        )
        for sample, prediction in zip(data_samples, predicted, strict=True):
            if is_detector:
                sample.gt_instances = self._confident(prediction.pred_instances)
            else:
                label = int(prediction.pred_label)
                sample.set_gt_label(label if self.labels is None else self.labels.get(label, 0))

    def _confident(self, found: InstanceData) -> InstanceData:
        labels = found.labels
        boxes = getattr(found.bboxes, 'tensor', found.bboxes).float()
        if self.labels is not None:
            known = [self.labels.get(label, -1) for label in labels.tolist()]
            labels = labels.new_tensor(known)
        sides = boxes[:, 2:] - boxes[:, :2]
        kept = (found.scores >= self.score) & (labels >= 0) & (sides >= SMALLEST).all(1)
        return InstanceData(bboxes=boxes[kept], labels=labels[kept])

    def join(
        self, labeled: Mapping[str, Any], unlabeled: Mapping[str, Any], share: float
    ) -> dict[str, Any]:
        """Return the losses of both batches of a step.

        Args:
            labeled: Losses of the labeled batch, ``student.*`` and ``distill.*``.
            unlabeled: Those of the unlabeled batch.
            share: Share of the unlabeled images in the step.

        Returns:
            The student's losses on the labeled batch; those on the unlabeled one, weighted, as
            ``student.unlabeled_*``; and the mean of the distillation losses over all images.
        """
        joined = dict(labeled)
        for name, loss in unlabeled.items():
            group, _, own = name.partition('.')
            if group == 'distill':
                joined[name] = torch.lerp(labeled[name], loss, share)
            elif 'loss' in own:
                several = isinstance(loss, list | tuple)
                weighted = [self.weight * part for part in (loss if several else [loss])]
                joined |= add_prefix(
                    {f'unlabeled_{own}': weighted if several else weighted[0]}, group
                )
        return joined
