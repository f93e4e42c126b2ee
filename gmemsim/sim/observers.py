# SPDX-License-Identifier: GPL-2.0-or-later
"""Observers: what a figure needs of a run beyond its timeline, collected in bounded memory while it goes on.

A run without observers pays nothing; one with several gives :class:`Several`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gmemsim.results.timeline import Event
    from gmemsim.sim.run import Observer, Run


class Several:
    """Many observers as one, told in order."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)

    def begun(self, run: Run) -> None:
        """Tell all of them."""
        for observer in self._observers:
            observer.begun(run)

    def stepped(self, run: Run, event: Event) -> None:
        """Tell all of them."""
        for observer in self._observers:
            observer.stepped(run, event)
