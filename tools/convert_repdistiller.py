"""See `mmkd.cli.convert_repdistiller`."""

from mmkd.cli.convert_repdistiller import main

if __name__ == '__main__':
    main()
