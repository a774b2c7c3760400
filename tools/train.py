"""See `mmkd.tools.train`."""

from mmkd.tools.train import main

if __name__ == '__main__':
    main()
