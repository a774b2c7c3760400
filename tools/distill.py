"""See `mmkd.cli.distill`."""

from mmkd.cli.distill import main

if __name__ == '__main__':
    main()
