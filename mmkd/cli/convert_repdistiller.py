"""Convert a public RepDistiller checkpoint of a CIFAR network to one of MMPretrain."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmkd.cli.command import CommandParser, run_command
from mmkd.cli.options import add_config_options

ARCHITECTURES = Path(__file__).resolve().parents[1] / '.mim/configs/_base_/models/cifar'
ACCURACIES = ('best_acc', 'accuracy')
TOLERANCE = 0.1  # points


def architectures() -> list[str]:
    """Names of the CIFAR networks that have public checkpoints or could have."""
    return sorted(path.stem for path in ARCHITECTURES.glob('*.py'))


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = CommandParser(description=__doc__)
    parser.add_argument(
        'config', help=f'config of an MMPretrain classifier, or one of {", ".join(architectures())}'
    )
    parser.add_argument('checkpoint', help='public checkpoint, a file or URL')
    parser.add_argument('out', help='file to write, e.g. teacher.pth')
    parser.add_argument(
        '--evaluate',
        action='store_true',
        help="also evaluate on the config's test data, and write nothing unless the accuracy is "
        f'within {TOLERANCE} points of the one that the public file records',
    )
    add_config_options(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Convert."""
    args = parse_args(argv)
    # Late, so that --help is fast.
    from mmkd.cli.repdistiller_checkpoints import (
        build_classifier,
        check_accuracy,
        evaluate,
        load_architecture,
        load_public,
    )
    from mmkd.storage.atomic_write import save_atomically

    cfg = load_architecture(args.config, args.cfg_options)
    model = build_classifier(cfg)
    meta = load_public(model, args.checkpoint)
    state_dict = model.state_dict()
    if args.evaluate:
        if 'accuracy' not in meta:
            raise ValueError(
                f'--evaluate: expected an accuracy ({" or ".join(ACCURACIES)}) recorded in '
                f'{args.checkpoint}'
            )
        accuracy = evaluate(cfg, state_dict)
        check_accuracy(accuracy, meta['accuracy'])
        print(f'top-1 {accuracy:.2f}, recorded {meta["accuracy"]:.2f}')
    save_atomically(dict(meta=meta, state_dict=state_dict), args.out)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f'{args.out}: {len(state_dict)} tensors, {num_parameters} parameters')


if __name__ == '__main__':
    run_command(main)
