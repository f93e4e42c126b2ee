# SPDX-License-Identifier: GPL-2.0-or-later
"""Recorders: what a figure needs of a run beyond its timeline, collected in bounded memory while the run goes on.

A recorder is made with the run before its first event, is shown every event, and has its result at any time::

    run = Run(scenario)
    recorder = LayoutRecorder(run)
    for event in run:
        recorder.see(event)
    layout = recorder.result()

A run without recorders pays nothing for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from gmemsim.results.timeline import Event
    from gmemsim.sim.run import Run


class Recorder(Protocol):
    """Looks at a run while it goes on; must not change it."""

    def __init__(self, run: Run) -> None:
        """Look at the guests of ``run`` before anything has happened to them."""

    def see(self, event: Event) -> None:
        """Look at the run as ``event``, the latest in its timeline, has left it."""

    def result(self) -> Any:
        """What has been seen so far."""
