"""The data preprocessor of an algorithm, which stands in for its student's."""

from typing import Any

from mmengine.model import BaseModel
from torch import nn


def like_students(student: BaseModel, preprocessor: nn.Module | dict | None) -> Any:
    """Complete a preprocessor's config by what MMPretrain would add if the student were alone.

    MMPretrain's classifiers take configs without ``type``, and put the batch augmentations of
    their ``train_cfg`` into them.

    Args:
        student: The student, with a preprocessor of its own.
        preprocessor: The algorithm's: built, a config, or None for the student's.
    """
    if not isinstance(preprocessor, dict):
        return preprocessor
    completed = {'type': type(student.data_preprocessor), **preprocessor}
    augments = getattr(student.data_preprocessor, 'batch_augments', None)
    if augments is not None:
        # Its class takes what it holds, and appends to the list of probabilities.
        probs = augments.probs and list(augments.probs)
        completed.setdefault('batch_augments', dict(augments=augments.augments, probs=probs))
    return completed
