"""See `mmkd.cli.train`."""

from mmkd.cli.train import main

if __name__ == '__main__':
    main()
