# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading what people name as a file, without waiting for ever.

A name may be that of a pipe (``<(…)`` of a shell), a device or a file of ``/proc``; ``-`` is standard input.  A pipe is
read as long as somebody writes to it.  What never ends is read up to a bound, and what makes its reader wait for events
is refused.
"""

from __future__ import annotations

import os
import select
import time
from stat import S_ISFIFO
from typing import Final

STDIN: Final = "-"
"""The name of standard input."""

PATIENCE: Final = 2.0
"""Seconds to wait for somebody who writes to a pipe."""

_CHUNK: Final = 1 << 16


class EndlessFileError(OSError):
    """Reading it would wait for ever; the text says what was found."""

    def __str__(self) -> str:
        return str(self.args[0])


def open_without_waiting(path: str | os.PathLike[str], flags: int = os.O_RDONLY) -> int:
    """A file descriptor of ``path`` whose reads do not wait; usable as the ``opener`` of :func:`open`.

    ``flags`` are those of :func:`os.open` (default: read only).  ``OSError`` as that raises it.
    """
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))


def read_at_most(path: str | os.PathLike[str], most: int) -> bytes:
    """Up to ``most`` bytes of ``path``.

    ``OSError`` if it cannot be read, :class:`EndlessFileError` if reading would wait for ever.
    """
    descriptor = os.dup(0) if path == STDIN else open_without_waiting(path)
    try:
        is_pipe = S_ISFIFO(os.fstat(descriptor).st_mode)
        give_up = time.monotonic() + PATIENCE
        data = bytearray()
        while len(data) < most:
            try:
                chunk = os.read(descriptor, min(_CHUNK, most - len(data)))
            except BlockingIOError:  # nothing yet
                if not (is_pipe or os.isatty(descriptor)):
                    raise EndlessFileError("a file without an end") from None
                select.select([descriptor], [], [])
                continue
            data += chunk
            if chunk or (is_pipe and not data and not _has_ended(descriptor, give_up)):
                continue
            break
        return bytes(data)
    finally:
        os.close(descriptor)


def _has_ended(pipe: int, give_up: float) -> bool:
    """Whether a pipe that nobody has open to write had a writer before; :class:`EndlessFileError` after ``give_up``."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    for _, event in poll.poll(10):
        return not event & select.POLLIN
    if time.monotonic() > give_up:
        raise EndlessFileError("a pipe that nobody writes to")
    return False
