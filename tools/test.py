"""See `mmkd.tools.test`."""

from mmkd.tools.test import main

if __name__ == '__main__':
    main()
