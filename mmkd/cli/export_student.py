"""Write the student of a distillation checkpoint as a plain checkpoint."""

from collections.abc import Sequence
from pathlib import Path

from mmkd.cli.command import CommandParser, run_command


def main(argv: Sequence[str] | None = None) -> None:
    """Export."""
    parser = CommandParser(description=__doc__)
    parser.add_argument('checkpoint', help='of a distillation run')
    parser.add_argument('out', help='file to write, e.g. student.pth')
    parser.add_argument(
        '--config', help="the run's config: also write the student's plain config beside `out`"
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='replace files that are no earlier exports, too'
    )
    args = parser.parse_args(argv)
    # Late, so that --help is fast.
    from mmkd.api.running import load_config
    from mmkd.exporting import export
    from mmkd.storage.checkpoint import read_state_dict

    config = None if args.config is None else load_config(args.config)
    path = export(args.checkpoint, args.out, config=config, overwrite=args.overwrite)
    print(f'{path}: {len(read_state_dict(str(path)))} tensors')
    if config is not None:
        print(Path(args.out).with_suffix('.py'))


if __name__ == '__main__':
    run_command(main)
