"""The command line: ``python -m mmkd.cli.train CONFIG`` and its siblings.

The scripts in the repository's ``tools/`` call these.
"""
