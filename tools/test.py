"""See `mmkd.cli.test`."""

from mmkd.cli.test import main

if __name__ == '__main__':
    main()
