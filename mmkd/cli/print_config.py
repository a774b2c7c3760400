"""Print a config with everything it inherits."""

import argparse
from collections.abc import Sequence

import mmkd.registry  # noqa: F401
from mmkd.cli.options import add_config_options, load_config
from mmkd.exporting import student_config


def main(argv: Sequence[str] | None = None) -> None:
    """Print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, or mmkd::path/of/config.py')
    add_config_options(parser)
    parser.add_argument('--student', action='store_true', help='the student alone')
    parser.add_argument('--save', metavar='FILE.py', help='write it to a file, too')
    args = parser.parse_args(argv)
    cfg = load_config(args.config, args.cfg_options)
    if args.student:
        cfg = student_config(cfg)
    print(cfg.pretty_text)
    if args.save is not None:
        cfg.dump(args.save)


if __name__ == '__main__':
    main()
