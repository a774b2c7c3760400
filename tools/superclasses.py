"""See `mmkd.cli.superclasses`."""

from mmkd.cli.command import run_command
from mmkd.cli.superclasses import main

if __name__ == '__main__':
    run_command(main)
