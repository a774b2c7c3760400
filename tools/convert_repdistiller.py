"""See `mmkd.tools.convert_repdistiller`."""

from mmkd.tools.convert_repdistiller import main

if __name__ == '__main__':
    main()
