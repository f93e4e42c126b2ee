# SPDX-License-Identifier: GPL-2.0-or-later
"""A bar for long runs, and Ctrl-C that ends a run with what it has done so far.

Theory of operation
-------------------
Both are observers of the run, so both act between two steps, when everything is consistent.  The first Ctrl-C asks the
run to stop after the step it is in; a second one does not wait for that.

The bar is drawn on standard error if that is a terminal, after a run has taken :data:`PATIENCE`, and is gone when the
run is over.  It shows how much of the simulated time has passed, the rate of calls, and the total held now; nothing of
that is known to whoever reads standard output.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from gmemsim.units import human_duration, human_size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from gmemsim.results.timeline import Event
    from gmemsim.scenario.model import Scenario
    from gmemsim.sim.run import Run

PATIENCE = 0.5
"""Seconds that a run takes before the bar appears."""

INTERVAL = 0.1
"""Seconds between two updates of the bar."""


class Interruption:
    """An observer that ends the run when Ctrl-C has been pressed; ``pressed`` says whether it was."""

    def __init__(self) -> None:
        self.pressed = False

    def begun(self, run: Run) -> None:
        """Nothing has been done yet that could be kept."""

    def stepped(self, run: Run, event: Event) -> None:
        """End the run if that was asked for."""
        if self.pressed:
            from gmemsim.sim.run import StopRun

            raise StopRun

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Within this, Ctrl-C is noted; pressed again it raises ``KeyboardInterrupt`` as it always does.

        A shell lets its background jobs ignore Ctrl-C, and so they shall.
        """
        main = threading.current_thread() is threading.main_thread()  # only this may change what signals do
        if not main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            yield
            return
        before = signal.signal(signal.SIGINT, self._press)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _press(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True


class Bar:
    """An observer that draws the bar on ``console``; ``label`` says what is being simulated."""

    def __init__(self, console: Console, label: str = "simulating") -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(bar_width=18), TextColumn("{task.fields[facts]}"))
        self._progress = Progress(*columns, console=console, transient=True, auto_refresh=False)
        self._label = label
        self._task: TaskID | None = None
        self._began = self._next = 0.0
        self._calls = 0
        self._end = 0

    def begun(self, run: Run) -> None:
        """Start the clock."""
        self._end = expected_end(run.scenario)
        self._began = time.monotonic()
        self._next = self._began + PATIENCE

    def stepped(self, run: Run, event: Event) -> None:
        """Draw the bar if it is time to."""
        self._calls += 1
        now = time.monotonic()
        if now >= self._next:
            self._next = now + INTERVAL
            self._draw(run, now)

    def _draw(self, run: Run, now: float) -> None:
        rate = self._calls / max(now - self._began, 1e-9)
        simulated = human_duration(run.now)
        of = f" of {human_duration(self._end)}" if self._end else ""
        held = human_size(run.host.ledger.total.live_bytes)
        facts = f"{self._calls:,} calls, {rate:,.0f}/s, {simulated}{of}, holds {held}"
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(self._label, total=self._end or None, facts=facts)
        self._progress.update(self._task, completed=run.now, facts=facts)
        self._progress.refresh()

    def close(self) -> None:
        """Remove the bar."""
        if self._task is not None:
            self._progress.stop()


def expected_end(scenario: Scenario) -> int:
    """Simulated ns at which the workload will end, as far as its steps say; 0 if they do not."""
    from gmemsim.scenario.model import Wait
    from gmemsim.scenario.workload import step_end

    now = 0
    for index, step in enumerate(scenario.workload):
        now = max(now, getattr(step, "at", None) or 0)
        now = now + step.duration if isinstance(step, Wait) else step_end(scenario, index, now)
    return now
