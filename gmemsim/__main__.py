# SPDX-License-Identifier: GPL-2.0-or-later
"""``python -m gmemsim``, and the entry point of the command ``gmemsim``.

What is slow to import is imported where Ctrl-C is caught already.
"""

from __future__ import annotations

import signal
import sys

from gmemsim.cli import signals


def main() -> None:
    """Run the command line; Ctrl-C at any time, the imports included, ends it with 130."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background jobs ignore it
        signals.raises(signal.SIGINT, KeyboardInterrupt)
    try:
        from gmemsim.cli.main import main as run

        signals.raise_noted()  # now, and not in a moment: the command may be a short one
        run()
    except KeyboardInterrupt:
        sys.stderr.write("gmemsim: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
