"""Write one HTML page about finished runs, and its numbers as JSON beside it.

The page says what was gained over the student alone and whether that is real, where, and what to
try next. It opens from disk without a network.
"""

from collections.abc import Sequence
from pathlib import Path

from mmkd.cli.command import CommandParser, run_command


def main(argv: Sequence[str] | None = None) -> None:
    """Write the report, and print where it lies."""
    parser = CommandParser(description=__doc__)
    parser.add_argument(
        'runs', nargs='+', metavar='RUN', help='work directory of a run, or a folder of several'
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE.html',
        help='file to write (default: report.html in the run, or in the folder of all runs)',
    )
    parser.add_argument(
        '--no-predictions',
        action='store_true',
        help='do not predict the validation images: no pictures, classes and confusions',
    )
    args = parser.parse_args(argv)
    # Late, so that --help is fast.
    from mmkd.reporting import report

    path = report(*args.runs, out=args.out, predictions=not args.no_predictions)
    print(f'{path}\n{path.with_suffix(".json")}')


if __name__ == '__main__':
    run_command(main)
