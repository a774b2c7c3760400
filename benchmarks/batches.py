"""What a batch of small images costs: MMPretrain's pipeline against data in memory.

Random images of 32 x 32 in batches of 128, cropped with a border of 4 pixels and flipped at random,
by one process without workers, preprocessing included. Ratios are taken within one repeat.

    python benchmarks/batches.py --repeats 9
"""

import argparse
import platform
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.registry import TRANSFORMS

import mmkd.registry  # noqa: F401
from mmkd.datasets import InMemoryDataset

BATCH = 128
PIPELINE = (
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--repeats', type=int, default=9)
    parser.add_argument('--device', default='cpu')
    return parser.parse_args()


def loaders(device: str) -> dict[str, Callable[[], dict]]:
    """Both ways to a batch, from images that are in memory already."""
    images = np.random.default_rng(0).integers(0, 256, (1024, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(1024) % 100
    transforms = [TRANSFORMS.build(dict(transform)) for transform in PIPELINE]

    def one_by_one() -> dict:
        samples = []
        for index in np.random.randint(0, 1024, BATCH):
            sample = dict(img=images[index].copy(), gt_label=int(labels[index]))
            for transform in transforms:
                sample = transform(sample)
            samples.append(sample)
        return pseudo_collate(samples)

    data = InMemoryDataset(images.transpose(0, 3, 1, 2), labels, augment=True, device=device)
    return {
        "MMPretrain's pipeline": one_by_one,
        'in memory': lambda: data.__getitems__(np.random.randint(0, 1024, BATCH).tolist()),
    }


def seconds(load: Callable[[], dict], preprocess: torch.nn.Module, device: str) -> float:
    """Wall time of ten preprocessed batches."""
    start = time.perf_counter()
    for _ in range(10):
        preprocess(load(), training=True)
    if device.startswith('cuda'):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Time and print."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    init_default_scope('mmpretrain')
    preprocess = ClsDataPreprocessor(mean=[129.3, 124.1, 112.4], std=[68.2, 65.4, 70.4])
    preprocess = preprocess.to(args.device)
    timed = loaders(args.device)
    for load in timed.values():
        seconds(load, preprocess, args.device)
    rows = [
        {name: seconds(load, preprocess, args.device) for name, load in timed.items()}
        for _ in range(args.repeats)
    ]
    slow, fast = timed
    ratios = sorted(row[slow] / row[fast] for row in rows)
    print(f'{platform.machine()}, {args.device}, {args.threads} threads, torch {torch.__version__}')
    print(f'{slow} / {fast}: {median(ratios):.1f} ({ratios[0]:.1f}..{ratios[-1]:.1f})')
    print(f'{fast}: {1e3 * median(row[fast] for row in rows) / 10:.1f} ms a batch')


if __name__ == '__main__':
    main()
