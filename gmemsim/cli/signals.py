# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals that end the command, as exceptions that cannot get lost in an import.

Theory of operation
-------------------
Python runs a signal's handler between any two lines, those of an import included.  What it raises there may go astray:
Python itself drops an exception in the callback that frees a module's lock, and turns one in ``__set_name__`` into a
``RuntimeError``.  The command would then go on, or end with a traceback.  So a signal that comes during an import is
noted, and a timer (``SIGALRM``) looks every :data:`LOOK_SECONDS` whether the import is over.  It goes on until the
exception has been raised: a single signal may come just before a read that then waits for ever.  A second signal is
raised at once, since the import may never end.

What may live here: how signals become exceptions.  It is imported before anything that is slow to import.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Final

LOOK_SECONDS: Final = 0.002
"""How often it is looked whether an import is over."""

_noted: list[type[KeyboardInterrupt]] = []
"""What is to be raised when an import is over."""


def raises(number: int, error: type[KeyboardInterrupt]) -> None:
    """From now on signal ``number`` raises ``error``: after an import that it comes in, or at once if it is the second.

    To be called in the main thread.  Where there are no timers (Windows) it is always raised at once.
    """

    def handler(number: int, frame: FrameType | None) -> None:
        if _noted or not _importing(frame) or not hasattr(signal, "setitimer"):
            _raise(error)
        _noted.append(error)
        signal.signal(signal.SIGALRM, _look)
        signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS, LOOK_SECONDS)

    signal.signal(number, handler)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib."):
            return True
        frame = frame.f_back
    return False


def _look(number: int, frame: FrameType | None) -> None:
    if not _importing(frame):
        raise_noted()


def raise_noted() -> None:
    """Raise what came during an import, if anything did."""
    if _noted:
        _raise(_noted[0])


def _raise(error: type[KeyboardInterrupt]) -> None:
    if _noted:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _noted.clear()
    raise error
