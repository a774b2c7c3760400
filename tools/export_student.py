"""See `mmkd.tools.export_student`."""

from mmkd.tools.export_student import main

if __name__ == '__main__':
    main()
