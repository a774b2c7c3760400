"""See `mmkd.cli.train`."""

from mmkd.cli.command import run_command
from mmkd.cli.train import main

if __name__ == '__main__':
    run_command(main)
