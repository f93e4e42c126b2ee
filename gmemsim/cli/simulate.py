# SPDX-License-Identifier: GPL-2.0-or-later
"""One run as commands do it: with a bar on a terminal, and with what there is if Ctrl-C ends it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from gmemsim.cli.progress import Bar, Interruption

if TYPE_CHECKING:
    from gmemsim.scenario.model import Scenario
    from gmemsim.sim.run import Observer, Result


INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 and the number of SIGINT."""


def simulate(scenario: Scenario, observers: Iterable[Observer] = (), *, label: str = "simulating") -> Result:
    """Run ``scenario``; if Ctrl-C ends it, its summary says ``partial`` and a line on standard error too."""
    from rich.console import Console

    from gmemsim.sim.observers import Several
    from gmemsim.sim.run import run

    interruption = Interruption()
    console = Console(stderr=True)
    bar = Bar(console, label) if console.is_terminal else None
    watching: list[Observer] = [*observers, *([] if bar is None else [bar]), interruption]
    try:
        with interruption.awaited():
            result = run(scenario, observer=Several(watching))
    finally:
        if bar is not None:
            bar.close()
    if result.summary.get("partial"):
        steps = len(result.timeline.events)
        click.echo(f"gmemsim: interrupted after {steps:,} calls: what follows is partial", err=True)
    return result
