# SPDX-License-Identifier: GPL-2.0-or-later
"""A bar for long runs, and signals that end a run with what it has done so far.

Theory of operation
-------------------
Both belong into the loop that carries out a run, so both act between two calls, when everything is consistent::

    with Interruption() as interruption:
        for event in with_bar(run, console):
            if interruption.pressed:
                break

The first Ctrl-C, or SIGTERM, asks the loop to end after the call it is in; a second one does not wait for that.

The bar is drawn on standard error if that is a terminal, after a run has taken :data:`PATIENCE`, and is gone when the
run is over.  It shows how much of the simulated time has passed, the rate of calls, and the total held now.  Standard
output is not touched.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from gmemsim.cli import exits
from gmemsim.units import human_duration, human_size

if TYPE_CHECKING:
    from rich.console import Console

    from gmemsim.results.timeline import Event
    from gmemsim.scenario.model import Scenario
    from gmemsim.sim.run import Run

T = TypeVar("T")

PATIENCE = 0.5
"""Seconds that a run takes before the bar appears."""

INTERVAL = 0.1
"""Seconds between two updates of the bar."""


class Interruption:
    """Within this context Ctrl-C and SIGTERM are noted in ``pressed``; a second one acts as it always does.

    A shell lets its background jobs ignore Ctrl-C, and they go on ignoring it.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # only this may change what signals do
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._press)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _press(self, number: int, frame: FrameType | None) -> None:
        exits.note_signal(number)
        if self.pressed:
            raise exits.Terminated if number == signal.SIGTERM else KeyboardInterrupt
        self.pressed = True


def with_bar(
    run: Run, console: Console | None, label: str = "simulating", *, look: bool = True
) -> Generator[Event | None, None, None]:
    """The events of ``run``; while they go on, a bar on ``console`` if that is a terminal, labelled ``label``.

    Without ``look`` (default: with) nothing is made for a call but ``None``: for those who only wait for the end.
    """
    calls: Iterator[Event | None] = run if look else run.calls()
    if console is None or not console.is_terminal:
        yield from calls
        return
    end = expected_end(run.scenario)

    def told(number: int, seconds: float) -> tuple[int, str]:
        return run.now, _facts(run, number, seconds, end)

    yield from _shown(calls, console, label, end or None, told)


def with_count(items: Iterable[T], what: str, total: int, done: int = 0) -> Iterator[T]:
    """``items``; while they come, a bar on standard error if that is a terminal: ``done`` (default 0) of ``total``.

    ``what`` is what the bar counts.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from items
        return

    def told(number: int, seconds: float) -> tuple[int, str]:
        rate = number / seconds
        left = human_duration(int((total - done - number) / rate * 1e9))
        return done + number, f"{done + number:,} of {total:,}, {rate:,.1f}/s, {left} left"

    yield from _shown(items, console, what, total, told, done)


def _shown(
    items: Iterable[T],
    console: Console,
    label: str,
    total: int | None,
    told: Callable[[int, float], tuple[int, str]],
    done: int = 0,
) -> Generator[T, None, None]:
    """``items``; while they come, a bar on ``console`` labelled ``label``, which begins at ``done`` (default 0).

    ``told`` says after so many items in so many seconds how far it is, of ``total``, and what stands beside it.
    """
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=18),
        TextColumn("{task.fields[facts]}"),
    )
    progress = Progress(*columns, console=console, transient=True, auto_refresh=False)
    task = progress.add_task(label, total=total, completed=done, facts="")
    began = time.monotonic()
    due = began + PATIENCE
    try:
        for number, item in enumerate(items, 1):
            now = time.monotonic()
            if now >= due:
                due = now + INTERVAL
                completed, facts = told(number, now - began)
                progress.start()
                progress.update(task, completed=completed, facts=facts)
                progress.refresh()
            yield item
    finally:
        if progress.live.is_started:
            progress.stop()


def _facts(run: Run, calls: int, seconds: float, end: int) -> str:
    """What the bar says of ``run`` after so many ``calls`` in so many ``seconds``; it will ``end`` at that time."""
    rate = calls / max(seconds, 1e-9)
    of = f" of {human_duration(end)}" if end else ""
    held = human_size(run.host.ledger.total.live_bytes)
    return f"{calls:,} calls, {rate:,.0f}/s, {human_duration(run.now)}{of}, holds {held}"


def expected_end(scenario: Scenario) -> int:
    """Simulated ns at which the workload will end, as far as its steps say; 0 if they do not."""
    from gmemsim.scenario.model import Wait
    from gmemsim.scenario.workload import step_end

    now = 0
    for index, step in enumerate(scenario.workload):
        now = max(now, getattr(step, "at", None) or 0)
        now = now + step.duration if isinstance(step, Wait) else step_end(scenario, index, now)
    return now
