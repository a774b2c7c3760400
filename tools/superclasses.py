"""See `mmkd.tools.superclasses`."""

from mmkd.tools.superclasses import main

if __name__ == '__main__':
    main()
