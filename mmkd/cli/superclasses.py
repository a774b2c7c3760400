"""Cluster the training set by the features of a config's teacher: superclasses for SURSampler.

The images are read as for evaluation, without augmentation.
"""

import argparse
from collections.abc import Sequence

from mmkd.cli.command import CommandParser, run_command
from mmkd.cli.options import add_config_options


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = CommandParser(description=__doc__)
    parser.add_argument('config', help='config of a distillation run, or mmkd::path/of/config.py')
    parser.add_argument('out', help='file to write, e.g. superclasses.npz')
    parser.add_argument(
        '--clusters', type=int, default=1000, help='number of superclasses (default: %(default)s)'
    )
    parser.add_argument(
        '--source',
        default='neck',
        help="module of the teacher whose output are the features; the last of several, maps' "
        'mean over positions (default: %(default)s)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the clustering')
    parser.add_argument('--batch-size', type=int, default=256, help='images at a time')
    add_config_options(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Cluster, and write the file."""
    args = parse_args(argv)
    # Late, so that --help is fast.
    import numpy as np

    from mmkd.api.running import load_config
    from mmkd.cli.superclass_clusters import superclasses
    from mmkd.datasets.superclass_file import encode_superclasses
    from mmkd.storage.atomic_write import write_atomically

    clusters, labels = superclasses(
        load_config(args.config, args.cfg_options),
        args.clusters,
        source=args.source,
        seed=args.seed,
        batch_size=args.batch_size,
    )
    write_atomically(encode_superclasses(clusters, labels), args.out)
    sizes = np.unique(clusters, return_counts=True)[1]
    print(
        f'{args.out}: {len(clusters)} samples in {len(sizes)} superclasses of '
        f'{sizes.min()} to {sizes.max()}'
    )


if __name__ == '__main__':
    run_command(main)
