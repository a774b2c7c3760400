"""See `mmkd.cli.inspect_pair`."""

from mmkd.cli.inspect_pair import main

if __name__ == '__main__':
    main()
