"""See `mmkd.cli.print_config`."""

from mmkd.cli.command import run_command
from mmkd.cli.print_config import main

if __name__ == '__main__':
    run_command(main)
