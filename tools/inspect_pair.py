"""See `mmkd.cli.inspect_pair`."""

from mmkd.cli.command import run_command
from mmkd.cli.inspect_pair import main

if __name__ == '__main__':
    run_command(main)
