"""See `mmkd.cli.export_student`."""

from mmkd.cli.export_student import main

if __name__ == '__main__':
    main()
