# SPDX-License-Identifier: GPL-2.0-or-later
"""A program that goes on in two ways from one instant: what a run would have been, beside what it is.

Theory of operation
-------------------
A run is thousands of objects that refer to each other, some of compiled classes, in the middle of a call.  A copy of
its whole process has all of that, exactly and at once (``fork``): pages are shared until one side writes.  So a
*branch* is a process.  It carries on from the instant at which :meth:`Branches.branch` was called, reports one value
and ends; the original never notices.  Several branches may be on their way at the same time.

What may live here: how branches begin and end.  What a branch does is its user's.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, Generic, NoReturn, TypeVar

import attrs

K = TypeVar("K")
R = TypeVar("R")


def possible() -> bool:
    """Whether this platform can copy a process."""
    return hasattr(os, "fork")


@attrs.frozen
class _Branch(Generic[K]):
    key: K
    process: int
    pipe: BinaryIO


class Branches(Generic[K, R]):
    """Branches of this process, at most ``most`` of them at a time; ``tell`` is given the key and report of each.

    Within a branch ``key`` is its own; in the original it is ``None``.
    """

    def __init__(self, most: int, tell: Callable[[K, R], None]) -> None:
        self.key: K | None = None
        self._most = most
        self._tell = tell
        self._running: deque[_Branch[K]] = deque()
        self._out = -1

    def branch(self, key: K) -> bool:
        """Begin the branch ``key``: returns twice, ``True`` in the branch and ``False`` in the original.

        Waits for the oldest branch first if there are as many as may be.  ``MemoryError`` if there can be no process.
        """
        while len(self._running) >= self._most:
            self._await_oldest()
        read, write = os.pipe()
        try:
            process = os.fork()
        except OSError as error:
            os.close(read)
            os.close(write)
            raise MemoryError(f"this machine has no more processes ({error.strerror})") from None
        if process:
            os.close(write)
            self._running.append(_Branch(key, process, os.fdopen(read, "rb")))
            return False
        with suppress(ValueError):  # only a main thread may say what signals do
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        gc.disable()
        os.close(read)
        self._running.clear()
        self.key, self._out = key, write
        return True

    def report(self, value: R) -> NoReturn:
        """End this branch with its report, ``value``, which must be picklable; to be called in a branch only."""
        with suppress(OSError), os.fdopen(self._out, "wb") as out:  # the original may be gone
            pickle.dump(value, out)
        os._exit(0)

    def close(self) -> None:
        """Wait for all branches that are on their way; a branch that gets here has failed to report, and ends."""
        if self.key is not None:
            os._exit(1)
        while self._running:
            self._await_oldest()

    def _await_oldest(self) -> None:
        """Tell what the oldest branch reports; ``MemoryError`` if it was killed, as by a machine without memory."""
        branch = self._running.popleft()
        with branch.pipe:
            data = branch.pipe.read()
        os.waitpid(branch.process, 0)
        if not data:
            raise MemoryError("a process of this command was killed, as for want of memory")
        self._tell(branch.key, pickle.loads(data))
