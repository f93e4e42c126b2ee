"""``python -m gmemsim.cli``: the same as the command ``gmemsim``."""

from gmemsim.cli.main import main

main()
