"""Options that the comparisons of methods share."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def parser_of(description: str, methods: Sequence[str]) -> argparse.ArgumentParser:
    """Options of a comparison: methods, seeds, the teacher's checkpoint and parallel runs.

    Args:
        description: The script's docstring.
        methods: Default of ``--methods``.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--methods',
        nargs='+',
        default=methods,
        metavar='METHOD',
        help='student means the student alone (default: all)',
    )
    parser.add_argument(
        '--seeds',
        type=int,
        nargs='+',
        default=[0, 1, 2],
        help='seeds of the students (default: 0 1 2)',
    )
    parser.add_argument(
        '--teacher', type=Path, help='checkpoint of the teacher (default: train it)'
    )
    parser.add_argument('--jobs', type=int, default=1, help='runs at the same time (default: 1)')
    return parser
