"""Does CMKD train better with exact or with soft ranks of the teacher?

Students are small MLPs, with one teacher and paired seeds. The task is the embedded handwritten
digits (10 classes) or, given its folder, CIFAR-100. The gain is over CMKD as it is by default. "At
equality" is the gradient that is left where the student equals the teacher, in percent of the
gradient for the logits of other images.

    python benchmarks/rank_targets.py
    python benchmarks/rank_targets.py data/cifar100 --images 5000 --epochs 8 --teacher-epochs 4
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import mmkd.registry  # noqa: F401
from mmkd.analysis import summarize, to_markdown
from mmkd.datasets.cifar100 import CIFAR100Dataset
from mmkd.datasets.digits.digits_dataset import DigitsDataset
from mmkd.losses import CMKDLoss

DEFAULT = 'CMKD'
LOSSES = {
    DEFAULT: CMKDLoss(),
    'CMKD, soft ranks of both': CMKDLoss(teacher_ranks='soft'),
    'CMKD, pairwise': CMKDLoss(rank_method='pairwise'),
    'CMKD, pairwise, soft ranks of both': CMKDLoss(rank_method='pairwise', teacher_ranks='soft'),
}
SIDE = 8  # of the images, in pixels


class Images(NamedTuple):
    """Standardized pixels (N, D) and class indices (N,)."""

    pixels: Tensor
    labels: Tensor


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('data', type=Path, nargs='?', help='folder of CIFAR-100 (default: digits)')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--epochs', type=int, default=80, help='of the students (default: 80)')
    parser.add_argument(
        '--images', type=int, default=160, help='training images of the students (default: 160)'
    )
    parser.add_argument(
        '--teacher-epochs', type=int, default=20, help='of the teacher (default: 20)'
    )
    return parser.parse_args()


def load(folder: Path | None, split: str, count: int | None = None) -> Images:
    """Images of a split, or ``count`` of them with all classes alike."""
    if folder is None:
        dataset = DigitsDataset(split=split, num_samples=count)
    else:
        dataset = CIFAR100Dataset(folder, split=split, num_samples=count)
    small = F.adaptive_avg_pool2d(dataset.images.float(), SIDE).flatten(1)
    return Images((small - 128) / 64, dataset.labels)


def network(images: Images, width: int, seed: int) -> nn.Module:
    """An MLP with two hidden layers."""
    torch.manual_seed(seed)
    inputs, classes = images.pixels.shape[1], int(images.labels.max()) + 1
    layers = []
    for size in (inputs, width):
        layers += [nn.Linear(size, width), nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, classes))


def train(
    model: nn.Module,
    images: Images,
    epochs: int,
    teacher: nn.Module | None = None,
    loss: nn.Module | None = None,
    batch_size: int = 64,
) -> nn.Module:
    """Train by cross entropy, and ``loss`` if there is one. The rate falls along a cosine."""
    steps = epochs * (len(images.labels) // batch_size)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(images.labels)).split(batch_size):
            if len(batch) < batch_size:
                continue
            pixels = images.pixels[batch]
            logits = model(pixels)
            total = F.cross_entropy(logits, images.labels[batch])
            if loss is not None:
                with torch.no_grad():
                    target = teacher(pixels)
                total = total + loss(logits, target)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            scheduler.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, images: Images) -> float:
    """Top-1 accuracy in percent."""
    return 100 * (model(images.pixels).argmax(1) == images.labels).double().mean().item()


def at_equality(loss: nn.Module, logits: Tensor) -> float:
    """Gradient where the student equals the teacher, in percent of that for other images."""

    def gradient(student: Tensor) -> float:
        student = student.clone().requires_grad_()
        loss(student, logits).backward()
        return student.grad.norm().item()

    return 100 * gradient(logits) / gradient(logits.roll(1, 0))


def main() -> None:
    """Train all students, and print the table."""
    args = parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    everything, few = load(args.data, 'train'), load(args.data, 'train', args.images)
    test = load(args.data, 'val' if args.data is None else 'test')
    teacher = train(network(everything, 512, 0), everything, args.teacher_epochs)
    with torch.no_grad():
        logits = teacher(test.pixels[torch.randperm(len(test.labels))[:500]])
    rows = {'student alone': [], **{name: [] for name in LOSSES}}
    for seed in args.seeds:
        for name, row in rows.items():
            loss = LOSSES.get(name)
            student = train(network(few, 64, seed), few, args.epochs, teacher, loss)
            column = 0.0 if loss is None else at_equality(loss, logits)
            row.append({'top-1': accuracy(student, test), 'at equality, %': column})
    print(f'teacher: {accuracy(teacher, test):.1f}; {time.perf_counter() - start:.0f} s')
    print(to_markdown(summarize(rows), DEFAULT, 'top-1'))


if __name__ == '__main__':
    main()
