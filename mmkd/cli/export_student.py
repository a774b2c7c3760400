"""Write the student of a distillation checkpoint as a plain checkpoint, or as an ONNX file."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from mmkd.cli.command import CommandParser, run_command

ONNX_OPTIONS = ('size', 'input', 'raw', 'evaluate')


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = CommandParser(description=__doc__)
    parser.add_argument('checkpoint', help='of a distillation run')
    parser.add_argument(
        'out', nargs='?', help='file to write, e.g. student.pth (not needed with --onnx)'
    )
    parser.add_argument(
        '--config', help="the run's config: also write the student's plain config beside `out`"
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='replace files that are no earlier exports, too'
    )
    parser.add_argument(
        '--onnx',
        metavar='FILE.onnx',
        help='write an ONNX file, with a card and a record beside it; needs --config',
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='of the ONNX input (default: what holds every validation image)',
    )
    parser.add_argument(
        '--input',
        choices=['uint8', 'float32', 'normalized'],
        help='of the ONNX file: RGB pixels, normalized inside, or what the network itself takes '
        '(default: uint8)',
    )
    parser.add_argument(
        '--raw', action='store_true', help="the head's outputs, not boxes or probabilities"
    )
    parser.add_argument(
        '--evaluate',
        action='store_true',
        help='measure the metrics of PyTorch and of the ONNX file',
    )
    args = parser.parse_args(argv)
    given = [name for name in ONNX_OPTIONS if getattr(args, name)]
    if args.out is None and args.onnx is None:
        parser.error('expected a file to write: OUT, or --onnx FILE.onnx')
    if args.onnx is not None and not args.onnx.endswith('.onnx'):
        parser.error(f'--onnx: expected a name that ends in .onnx, got {args.onnx}')
    if args.onnx is None and args.out.endswith('.onnx'):
        args.onnx, args.out = args.out, None
    if given and args.onnx is None:
        parser.error(f'--{given[0]}: expected --onnx FILE.onnx beside it')
    if args.onnx is not None and args.config is None:
        parser.error("--onnx: expected --config, the run's config, beside it")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Export."""
    args = parse_args(argv)
    # Late, so that --help is fast.
    from mmkd.api.running import load_config
    from mmkd.exporting import export
    from mmkd.storage.checkpoint import read_state_dict

    config = None if args.config is None else load_config(args.config)
    if args.out is not None:
        path = export(args.checkpoint, args.out, config=config, overwrite=args.overwrite)
        print(f'{path}: {len(read_state_dict(str(path)))} tensors')
        if config is not None:
            print(Path(args.out).with_suffix('.py'))
    if args.onnx is not None:
        options = {name: getattr(args, name) for name in ONNX_OPTIONS if getattr(args, name)}
        path = export(
            args.checkpoint, args.onnx, config=config, overwrite=args.overwrite, **options
        )
        print(summary(path))


def summary(path: Path) -> str:
    """Return what the record beside an ONNX file says of proof, metrics and costs."""
    from mmkd.deploy.costs import table

    record = json.loads(path.with_suffix('.json').read_text())
    lines = [f'{path} (card {path.with_suffix(".md")}, record {path.with_suffix(".json")})']
    lines += [f'  {name}: {value:.3g}' for name, value in record['proof'].items()]
    for model, metrics in record['metrics'].items():
        lines += [f'  {model} {name}: {value:.4g}' for name, value in metrics.items()]
    return '\n'.join([*lines, table(record['costs']), record['costs_note']])


if __name__ == '__main__':
    run_command(main)
