"""See `mmkd.cli.analyze`."""

from mmkd.cli.analyze import main
from mmkd.cli.command import run_command

if __name__ == '__main__':
    run_command(main)
