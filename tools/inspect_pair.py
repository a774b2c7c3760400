"""See `mmkd.tools.inspect_pair`."""

from mmkd.tools.inspect_pair import main

if __name__ == '__main__':
    main()
