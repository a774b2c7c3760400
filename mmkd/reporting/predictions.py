"""Predictions on the validation images, and their file beside the run."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from mmkd.storage.atomic_write import write_atomically

FILE = 'predictions.npz'
TEACHER_FILE = 'teacher_predictions.npz'


@dataclass(frozen=True, eq=False)
class Predictions:
    """Labels of N validation images, the true and the predicted ones.

    Attributes:
        classes: Names of the classes.
        truth: True label of each object; a classifier's images have one object each. Shape (T,).
        answers: Predicted label of each object. Shape (P,).
        scores: Their scores. Shape (P,).
        costs: ``parameters``, and ``flops`` of one image (None if they cannot be counted).
    """

    classes: tuple[str, ...]
    truth: np.ndarray
    answers: np.ndarray
    scores: np.ndarray
    costs: dict[str, Any] = field(default_factory=dict)

    def same_truth(self, other: 'Predictions') -> bool:
        """Whether both predict the same images."""
        mine, theirs = self._truth_arrays(), other._truth_arrays()
        return (
            type(self) is type(other)
            and self.classes == other.classes
            and all(map(np.array_equal, mine, theirs))
        )

    def _truth_arrays(self) -> list[np.ndarray]:
        return [getattr(self, each.name) for each in fields(self) if each.name.startswith('truth')]


@dataclass(frozen=True, eq=False)
class Classifications(Predictions):
    """Predictions of a classifier: T = P = N."""


@dataclass(frozen=True, eq=False)
class Detections(Predictions):
    """Predictions of a detector: the boxes of all images, one after the other.

    Attributes:
        truth_boxes: (T, 4): left, top, right, bottom in pixels of the image file.
        truth_counts: Number of true boxes of each image. Shape (N,).
        truth_ignored: Crowds, and others that do not count. Shape (T,).
        boxes: (P, 4).
        counts: Number of predicted boxes of each image. Shape (N,).
        paths: Image files. Shape (N,).
    """

    truth_boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    truth_counts: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    truth_ignored: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    paths: np.ndarray = field(default_factory=lambda: np.zeros(0, str))

    def of_image(self, index: int) -> tuple[slice, slice]:
        """The places of an image's true and predicted boxes."""
        return _part(self.truth_counts, index), _part(self.counts, index)


KINDS = dict(Classifications=Classifications, Detections=Detections)


def _part(counts: np.ndarray, index: int) -> slice:
    start = int(counts[:index].sum())
    return slice(start, start + int(counts[index]))


def save(predictions: Predictions, path: Path, made_of: str) -> None:
    """Write predictions, and the digest of what they were made of."""
    arrays = {f.name: getattr(predictions, f.name) for f in fields(predictions)}
    about = dict(
        kind=type(predictions).__name__,
        classes=arrays.pop('classes'),
        costs=arrays.pop('costs'),
        made_of=made_of,
    )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, about=np.array(json.dumps(about)), **arrays)
    write_atomically(buffer.getvalue(), path)


def load(path: Path, made_of: str) -> Predictions | None:
    """Read predictions; None if there are none, or they were made of something else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(str(arrays.pop('about')))
        if about['made_of'] != made_of:
            return None
        classes = tuple(about['classes'])
        return KINDS[about['kind']](classes=classes, costs=about['costs'], **arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def digest_of(settings: Mapping[str, Any], files: Sequence[str | Path]) -> str:
    """Digest of settings and of the sizes and times of the files that predictions depend on."""
    stamps = []
    for file in sorted({*map(str, files), *_texts(settings)}):
        path = Path(file)
        if len(file) < 4096 and '\0' not in file and path.is_file():
            status = path.stat()
            stamps.append([path.name, status.st_size, status.st_mtime_ns])
    text = json.dumps([settings, stamps], default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _texts(settings: Any) -> list[str]:
    """The texts among the values of settings, with their folders if they name one."""
    if isinstance(settings, str):
        return [settings]
    if isinstance(settings, Mapping):
        found = [text for value in settings.values() for text in _texts(value)]
        root, file = settings.get('data_root'), settings.get('ann_file')
        if isinstance(root, str) and isinstance(file, str):
            found.append(str(Path(root, file)))
        return found
    if isinstance(settings, list | tuple):
        return [text for value in settings for text in _texts(value)]
    return []
