"""Time of a batch of small images: MMPretrain's pipeline against data in memory.

One process without workers makes batches of 128 random 32 x 32 images. Each image is flipped and
cropped at random (4 pixels of padding). Times include preprocessing. Ratios compare the times of
the same turn.

    python benchmarks/batches.py --repeats 9
"""

from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.registry import TRANSFORMS
from timing import in_turn, parser_of, ratios, spread, start, write_json

import mmkd.registry  # noqa: F401
from mmkd.datasets import InMemoryDataset

BATCH = 128
PIPELINE = (
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
)


def loaders(device: str) -> dict[str, Callable[[], dict]]:
    """Two ways to make a batch from images in memory."""
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


def main() -> None:
    """Measure and print."""
    args = start(parser_of(__doc__, repeats=9, threads=1))
    init_default_scope('mmpretrain')
    preprocess = ClsDataPreprocessor(mean=[129.3, 124.1, 112.4], std=[68.2, 65.4, 70.4])
    preprocess = preprocess.to(args.device)

    def batch(load: Callable[[], dict]) -> None:
        preprocess(load(), training=True)

    candidates = {name: partial(batch, load) for name, load in loaders(args.device).items()}
    times = in_turn(candidates, args.repeats, args.device, calls=10)
    slow, fast = times
    print(f'{slow} / {fast}: {spread(ratios(times[slow], times[fast]))}')
    print(f'{fast}: {1e3 * median(times[fast]):.1f} ms a batch')
    write_json(args, times)


if __name__ == '__main__':
    main()
