# SPDX-License-Identifier: GPL-2.0-or-later
"""One run as commands do it: with a bar on a terminal, with recorders, and with what there is if Ctrl-C ends it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING

from gmemsim.cli.progress import Interruption, with_bar
from gmemsim.cli.terminal import say

if TYPE_CHECKING:
    from gmemsim.sim.recorder import Recorder
    from gmemsim.sim.run import Result, Run


def simulate(run: Run, recorders: Iterable[Recorder] = (), *, label: str = "simulating") -> Result:
    """Carry out ``run`` to its end, and let ``recorders`` (default: none), which were made for it, see every event.

    ``label`` is what the bar says (default: "simulating").  If Ctrl-C ends the run, its summary says ``partial`` and a
    line on standard error too.
    """
    from rich.console import Console

    watching = tuple(recorders)
    with Interruption() as interruption, closing(with_bar(run, Console(stderr=True), label)) as events:
        for event in events:
            for recorder in watching:
                recorder.see(event)
            if interruption.pressed:
                break
    result = run.result()
    if result.summary.get("partial"):
        steps = len(result.timeline.events)
        say(f"gmemsim: interrupted after {steps:,} calls: what follows is partial", err=True)
    return result
