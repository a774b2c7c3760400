"""See `mmkd.tools.print_config`."""

from mmkd.tools.print_config import main

if __name__ == '__main__':
    main()
