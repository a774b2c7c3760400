"""See `mmkd.tools.distill`."""

from mmkd.tools.distill import main

if __name__ == '__main__':
    main()
