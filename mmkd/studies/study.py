"""What a study sees of two networks, and what it finds."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEACHER = 'teacher'
Kind = Literal['classifier', 'detector']
Needs = Literal['layers', 'features', 'logits']


@dataclass(frozen=True)
class Outputs:
    """What a network returned for the N samples of a batch.

    A sample is an image of a classifier, or a true object of a detector.

    Attributes:
        features: What the classifier reads, or the pyramid at the object. Shape (N, D).
        logits: Of the data's classes. Shape (N, C). None if the network has none for a sample.
        layers: Output of each layer, one row a sample. Shape (N, D) each.
        sigmoid: Whether the network scores each class on its own.
    """

    features: Tensor
    logits: Tensor | None = None
    layers: Mapping[str, Tensor] = field(default_factory=dict)
    sigmoid: bool = False

    def probabilities(self) -> Tensor:
        """Scores of the classes, shape (N, C)."""
        assert self.logits is not None
        return self.logits.sigmoid() if self.sigmoid else self.logits.softmax(-1)


@dataclass(frozen=True)
class Batch:
    """The samples of a batch, as all networks see them.

    Attributes:
        labels: Class of each sample. Shape (N,).
        teacher: The teacher's outputs.
        students: Those of each student.
        raw: The batch of the data loader.
    """

    labels: Tensor
    teacher: Outputs
    students: Mapping[str, Outputs]
    raw: Any = None

    def by_name(self) -> dict[str, Outputs]:
        """Outputs of all networks, the teacher's first."""
        return {TEACHER: self.teacher, **self.students}


@dataclass(frozen=True)
class Setup:
    """What is compared, and how much of it.

    Attributes:
        students: Names of the students.
        classes: Names of the data's classes.
        kind: What the networks are.
        epochs: Epoch of each student's checkpoint; None if it does not say.
        samples: Most samples for pictures and layouts.
        seed: Of all random draws.
        networks: The networks by name, for studies that run them.
        layout: How ``embedding`` reduces features to two dimensions.
    """

    students: Sequence[str]
    classes: Sequence[str]
    kind: Kind = 'classifier'
    epochs: Sequence[int | None] = ()
    samples: int = 1000
    seed: int = 0
    networks: Mapping[str, Any] = field(default_factory=dict)
    layout: str = 'tsne'

    @property
    def names(self) -> list[str]:
        """The teacher and the students."""
        return [TEACHER, *self.students]


@dataclass(frozen=True)
class Findings:
    """Results of a study.

    Attributes:
        line: The result in one line.
        numbers: For the JSON.
        figures: Pictures by the end of their file's name; ``''`` for the only one.
    """

    line: str
    numbers: dict[str, Any]
    figures: Mapping[str, 'Figure'] = field(default_factory=dict)


def shown(value: float) -> str:
    """A number in a line; a hyphen where it is undefined."""
    return '-' if math.isnan(value) else f'{value:.3f}'


class Study(ABC):
    """One question about teacher and students, answered in one pass over the data.

    Args:
        setup: What is compared.

    Raises:
        ValueError: If the networks or the data do not suit the study.
    """

    needs: Needs = 'features'
    # Number of training images that `learn` gets first.
    training_images = 0
    # Whether it runs only where it is named.
    costly = False
    min_classes = 1
    kinds: tuple[Kind, ...] = ('classifier', 'detector')

    def __init__(self, setup: Setup) -> None:
        if setup.kind not in self.kinds:
            raise ValueError(f'expected a {" or a ".join(self.kinds)}, got a {setup.kind}')
        if len(setup.classes) < self.min_classes:
            raise ValueError(
                f'expected at least {self.min_classes} classes, got {len(setup.classes)}'
            )
        self.setup = setup

    def learn(self, batch: Batch) -> None:  # noqa: B027  (most studies need no training images)
        """See a batch of the training images, before the others."""

    @abstractmethod
    def add(self, batch: Batch) -> None:
        """See a batch."""

    @abstractmethod
    def finish(self) -> Findings:
        """Return the results of all batches."""
