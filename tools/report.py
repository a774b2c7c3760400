"""See `mmkd.cli.report`."""

from mmkd.cli.command import run_command
from mmkd.cli.report import main

if __name__ == '__main__':
    run_command(main)
