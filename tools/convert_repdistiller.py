"""See `mmkd.cli.convert_repdistiller`."""

from mmkd.cli.command import run_command
from mmkd.cli.convert_repdistiller import main

if __name__ == '__main__':
    run_command(main)
