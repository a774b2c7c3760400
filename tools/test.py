"""See `mmkd.cli.test`."""

from mmkd.cli.command import run_command
from mmkd.cli.test import main

if __name__ == '__main__':
    run_command(main)
