"""See `mmkd.cli.distill`."""

from mmkd.cli.command import run_command
from mmkd.cli.distill import main

if __name__ == '__main__':
    run_command(main)
