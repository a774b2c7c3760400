"""See `mmkd.cli.superclasses`."""

from mmkd.cli.superclasses import main

if __name__ == '__main__':
    main()
