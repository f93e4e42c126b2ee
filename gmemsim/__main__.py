# SPDX-License-Identifier: GPL-2.0-or-later
"""``python -m gmemsim``: the same as the command ``gmemsim``."""

from gmemsim.cli.main import main

if __name__ == "__main__":
    main()
