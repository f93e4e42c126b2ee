# SPDX-License-Identifier: GPL-2.0-or-later
"""What each guest holds over time by account: a panel for each, all on one scale.

The title is the answer where the guests were put the same question: what the first conversion to shared has cost each
of them, if its size was the same for all.  It is computed from the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

import numpy as np
from matplotlib.figure import Figure

from gmemsim.host.accounts import ACCOUNTS
from gmemsim.reports.figures import HOLDINGS, canvas, stack
from gmemsim.reports.figures.curves import STEPS, UNITS, Axis, time_axis
from gmemsim.reports.figures.sizes import geometry_of
from gmemsim.reports.guests import foremost, host_itself, left_out
from gmemsim.reports.views import DataTable, View
from gmemsim.results.recordings import Holding, Holdings
from gmemsim.results.timeline import Timeline
from gmemsim.units import human_size, size_name

MOST_PANELS = 8
"""Guests that have a panel at most: those with the highest peaks."""

MOST_ANSWERS = 5
"""Guests that the title names at most."""

HANDFUL = 16
"""Conversions to shared of a guest; with more the title says that its answer is about the first."""


def draw(view: View) -> Figure:
    """The figure; the holdings must have been recorded."""
    holdings, timeline = _holdings(view), view.result.timeline
    axis, shown = time_axis(timeline), chosen(holdings)
    title = answer(shown, timeline) or view.title
    notes = [view.title] if title != view.title else []
    notes += ["All panels have one scale."] if len(shown) > 1 else []
    if words := left_out(view.peaks(), shown, len(holdings.guests), " guests"):
        notes.append(f"Shown: {words}")
    if words := host_itself(view.result.summary):
        notes.append(f"Not in the panels: {words}")
    notes = canvas.notes_of(notes)
    fig, panels, (below,) = stack.sheet(title, len(shown), [canvas.note_height(notes)])
    stacks = [
        stack.Stack(
            name,
            f"peak {human_size(held.peak.total)}",
            places(held, axis),
            dict(zip(ACCOUNTS, np.array([point.row for point in held.points]).T, strict=True)),
        )
        for name, held in shown.items()
    ]
    stack.draw_all(panels, stacks, axis)
    canvas.write_below(fig, below, notes)
    return fig


def chosen(holdings: Holdings) -> dict[str, Holding]:
    """The guests that have a panel, in the scenario's order: those with the highest peaks."""
    peaks = {name: held.peak.total for name, held in holdings.guests.items()}
    return {name: holdings.guests[name] for name in foremost(peaks, MOST_PANELS)}


def places(held: Holding, axis: Axis) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Where the points of ``held`` lie on ``axis``."""
    if axis.unit == STEPS:
        return np.array([point.event + 1.0 for point in held.points])
    return np.array([point.time_ns for point in held.points]) / dict(UNITS)[axis.unit]


def answer(shown: dict[str, Holding], timeline: Timeline) -> str:
    """What the first conversion to shared has cost each guest; empty if there was not one of one size for all."""
    costs = {name: held.first_shared for name, held in shown.items()}
    sizes = {cost[1] for cost in costs.values() if cost is not None}
    if len(sizes) != 1 or None in costs.values() or not 1 < len(costs) <= MOST_ANSWERS:
        return ""
    (size,) = sizes
    page = geometry_of(timeline).page_size
    one = "The first" if _shared_often(shown, timeline) else "One"
    what = f"{one} shared {size_name(page)} page" if size == page else f"The first {size_name(size)} shared"
    prices = {human_size(cost[0]) for cost in costs.values() if cost is not None}
    if len(prices) == 1:
        return f"{what} costs {prices.pop()} in each of these {len(costs)} guests"
    told = [f"{human_size(cost[0])} ({canvas.short(name)})" for name, cost in costs.items() if cost is not None]
    return f"{what} costs {', '.join(told)}"


def _shared_often(shown: Collection[str], timeline: Timeline) -> bool:
    """Whether any guest of ``shown`` has shared more than a :data:`HANDFUL`: most of that may have cost less."""
    counts: Counter[str] = Counter()
    for label, _ in timeline.events.rows():
        if label.kind == "convert" and label.errno is None and "shared" in label.detail and label.guest in shown:
            counts[str(label.guest)] += 1
    return timeline.events.dropped > 0 or max(counts.values(), default=0) > HANDFUL


def table(view: View) -> DataTable:
    """A row for every point of a guest: ``guest``, ``time_ns``, ``step`` (0: before the first), bytes by account."""
    return DataTable(("guest", "time_ns", "step", *ACCOUNTS), _rows(_holdings(view)))


def _rows(holdings: Holdings) -> Iterator[tuple[object, ...]]:
    for name, held in holdings.guests.items():
        for point in held.points:
            yield name, point.time_ns, point.event + 1, *point.row


def _holdings(view: View) -> Holdings:
    holdings: Holdings = view.recording(HOLDINGS)
    return holdings
