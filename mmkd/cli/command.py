"""What every command line shares: a mistake ends in one line, and `--debug` shows the traceback."""

import argparse
import difflib
import os.path as osp
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# What a wrong option, setting or file raises. Others are bugs, and keep their traceback.
MISTAKES = (ValueError, TypeError, OSError, FloatingPointError, ImportError, AssertionError)
PACKAGE = str(Path(__file__).resolve().parents[1])


class CommandParser(argparse.ArgumentParser):
    """Argument parser whose errors are one line, with ``--debug``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_argument('--debug', action='store_true', help='show the traceback of an error')

    def error(self, message: str) -> Any:
        """Exit with status 2 after one line, without the usage."""
        self.exit(2, f'{self.prog}: error: {message}\n')

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """Parse; an unknown option is named with close ones."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            close = difflib.get_close_matches(
                unknown[0].partition('=')[0], self._option_string_actions, n=1
            )
            hint = f'; did you mean {close[0]}?' if close else ' (see --help)'
            self.error(f'unknown arguments {" ".join(unknown)}{hint}')
        return parsed


def run_command(main: Callable[[], Any]) -> None:
    """Run the main function of a command.

    Raises:
        SystemExit: With status 2, after one line, if the user made a mistake. With ``--debug`` the
            mistake itself is raised.
    """
    try:
        main()
    except MISTAKES as error:
        if '--debug' in sys.argv:
            raise
        # Scripts in tools/ have a path here, and `mmkd` the name of the command.
        line = ' '.join(describe(error).split())
        print(f'{osp.basename(sys.argv[0])}: error: {line}', file=sys.stderr)
        raise SystemExit(2) from None


def describe(error: BaseException) -> str:
    """The message of an error, and its place if another package raised it.

    Example:
        >>> describe(FileNotFoundError(2, 'No such file or directory', 'a.py'))
        'a.py: no such file or directory'
    """
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f'{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}'
    text = str(error) or type(error).__name__
    cause: BaseException | None = error
    while cause is not None:  # a registry raises the errors of what it builds again
        frames = traceback.extract_tb(cause.__traceback__)
        if isinstance(cause, OSError) or (frames and frames[-1].filename.startswith(PACKAGE)):
            return text
        place = frames[-1] if frames else None
        cause = cause.__cause__ or cause.__context__
    if place is None:
        return text
    file = '/'.join(Path(place.filename).parts[-3:])
    return f'{text} ({type(error).__name__} in {file}, line {place.lineno}; see --debug)'
