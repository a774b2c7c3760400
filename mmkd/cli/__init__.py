"""The console command ``mmkd`` and its subcommands, one module each.

``python -m mmkd.cli.train`` and ``tools/train.py`` do the same as ``mmkd train``.
"""
