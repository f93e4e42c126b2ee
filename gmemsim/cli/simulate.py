# SPDX-License-Identifier: GPL-2.0-or-later
"""One run as commands do it: with a bar on a terminal, with recorders, and with what there is if Ctrl-C ends it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, TextIO, cast

from gmemsim.cli.exits import note_no_memory
from gmemsim.cli.progress import Interruption, with_bar
from gmemsim.cli.terminal import say
from gmemsim.errors import NO_MEMORY
from gmemsim.garbage import fewer_collections

if TYPE_CHECKING:
    from rich.console import Console

    from gmemsim.sim.recorder import Recorder
    from gmemsim.sim.run import Result, Run

FORCED = {"FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
"""Variables by which rich may call something a terminal that is none."""


def simulate(run: Run, recorders: Iterable[Recorder] = (), *, label: str = "simulating") -> Result:
    """Carry out ``run`` to its end, and let ``recorders`` (default: none), which were made for it, see every event.

    ``label`` is what the bar says (default: "simulating").  If Ctrl-C ends the run, or the machine's memory does not
    suffice, its summary says ``partial`` and a line on standard error too.
    """
    watching = tuple(recorders)
    calls = with_bar(run, _terminal(), label, look=bool(watching))
    why = "interrupted"
    with fewer_collections(), Interruption() as interruption, closing(calls):
        try:
            for event in calls:
                if event is not None:
                    for recorder in watching:
                        recorder.see(event)
                if interruption.pressed:
                    break
        except MemoryError:
            why = f"refused: {NO_MEMORY}: ended"
            note_no_memory()
    result = run.result()
    if result.summary.get("partial"):
        steps = len(result.timeline.events) + result.timeline.events.dropped
        say(f"gmemsim: {why} after {steps:,} calls: what follows is partial", err=True)
    _tell_dropped(result)
    return result


def _tell_dropped(result: Result) -> None:
    """A line on standard error if the timeline has not all that happened."""
    events, samples = result.timeline.events, len(result.timeline)
    if events.dropped:
        kept = f"{len(events):,} of {len(events) + events.dropped:,} events"
        say(
            f"gmemsim: the timeline keeps {kept} and {samples:,} of {samples + result.timeline.dropped_samples:,}"
            " samples; summary and peaks are exact",
            err=True,
        )


def _terminal() -> Console | None:
    """A console on standard error if that is a terminal, or called one; rich is slow to import, and decides."""
    stream = cast("TextIO | None", sys.stderr)  # None if the command was started with it closed
    if stream is None or not (stream.isatty() or FORCED & os.environ.keys()):
        return None
    from rich.console import Console

    return Console(stderr=True)
