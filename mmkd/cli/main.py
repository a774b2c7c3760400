"""The console command ``mmkd``: choose a subcommand, which then parses its own arguments."""

import difflib
import importlib
import sys
from collections.abc import Sequence

from mmkd.cli.command import run_command

# Name of the subcommand -> its module in mmkd.cli, and what it does.
COMMANDS = {
    'distill': ('distill', 'distill a student from a teacher; writes the config for you'),
    'train': ('train', 'train the config of a distillation, or of a plain model'),
    'test': ('test', 'evaluate the student of a config with a checkpoint'),
    'report': ('report', 'compare finished runs on one HTML page'),
    'analyze': ('analyze', 'compare layers, logits and samples of student and teacher'),
    'inspect': ('inspect_pair', 'show modules, shapes and strides of teacher and student'),
    'export': ('export_student', 'write the student of a run as a plain checkpoint'),
    'print-config': ('print_config', 'print a config with all that it inherits'),
    'superclasses': ('superclasses', "cluster the training set by the teacher's features"),
    'convert-repdistiller': ('convert_repdistiller', 'convert a RepDistiller checkpoint'),
}


def usage() -> str:
    """Return the list of the subcommands."""
    width = max(map(len, COMMANDS))
    lines = [f'  {name:<{width}}  {text}' for name, (_, text) in COMMANDS.items()]
    return '\n'.join(['usage: mmkd COMMAND [ARGUMENTS] (mmkd COMMAND --help shows them)', *lines])


def main(argv: Sequence[str] | None = None) -> None:
    """Run a subcommand.

    Args:
        argv: Its name and arguments. Default: those of the process.

    Raises:
        SystemExit: If there is no such subcommand, or it ends in an error.
    """
    name, *arguments = [*(sys.argv[1:] if argv is None else argv)] or ['']
    if name in ('-h', '--help'):
        print(usage())
        return
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f'; did you mean {close[0]}?' if close else ''
        wrong = f'no command {name!r}{hint}' if name else 'expected a command'
        print(f'mmkd: error: {wrong} (commands: {", ".join(COMMANDS)})', file=sys.stderr)
        raise SystemExit(2)
    sys.argv[0] = f'mmkd {name}'  # argparse shows it
    run_command(lambda: importlib.import_module(f'mmkd.cli.{COMMANDS[name][0]}').main(arguments))


if __name__ == '__main__':
    main()
