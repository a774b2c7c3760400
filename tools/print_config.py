"""See `mmkd.cli.print_config`."""

from mmkd.cli.print_config import main

if __name__ == '__main__':
    main()
