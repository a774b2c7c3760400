"""Print a config with all that it inherits, a short distiller in MMRazor's full spelling."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmkd.cli.command import CommandParser, run_command
from mmkd.cli.options import add_config_options


def main(argv: Sequence[str] | None = None) -> None:
    """Print."""
    parser = CommandParser(description=__doc__)
    parser.add_argument('config', help='config file, or mmkd::path/of/config.py')
    add_config_options(parser)
    parser.add_argument('--student', action='store_true', help='the student alone')
    parser.add_argument('--short', action='store_true', help='leave a short distiller as it is')
    parser.add_argument('--save', metavar='FILE.py', help='write it to a file, too')
    args = parser.parse_args(argv)
    # Late, so that --help is fast.
    from mmkd.algorithms.short_config import expand_distiller
    from mmkd.api.running import load_config
    from mmkd.checking.setting_values import check_values
    from mmkd.exporting import student_config

    if args.save is not None:
        _check_target(Path(args.save))
    cfg = load_config(args.config, args.cfg_options)
    if args.student:
        cfg = student_config(cfg)
    elif not args.short and isinstance(cfg.get('model'), Mapping) and 'distiller' in cfg.model:
        check_values(cfg)
        cfg.model.distiller = expand_distiller(cfg.model.distiller)
        cfg.pop('distiller', None)  # the same, in the short spelling
    print(cfg.pretty_text)
    if args.save is not None:
        cfg.dump(args.save)


def _check_target(path: Path) -> None:
    if path.suffix not in ('.py', '.yaml', '.yml', '.json'):
        raise ValueError(f'--save: expected a .py, .yaml or .json file, got {path}')
    if path.exists():
        raise FileExistsError(f'--save: {path} exists; remove it, or choose another name')


if __name__ == '__main__':
    run_command(main)
