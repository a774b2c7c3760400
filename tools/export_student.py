"""See `mmkd.cli.export_student`."""

from mmkd.cli.command import run_command
from mmkd.cli.export_student import main

if __name__ == '__main__':
    run_command(main)
