# SPDX-License-Identifier: GPL-2.0-or-later
"""What calls took, by kind and over time: modelled times, all of them estimates.

Every call is counted, also those that changed nothing or have no price.  Each kind has its distribution, with
quantiles; a second panel shows calls over time if they differ.  A run may have a million calls: of those of one kind
that fall into the same small field of that panel one is drawn, and always the longest of every column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import fsum
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis as TickedAxis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from gmemsim.reports import Reportable
from gmemsim.reports.figures import canvas
from gmemsim.reports.figures.curves import BUCKETS, Axis, Integers, time_axis
from gmemsim.reports.figures.strip import unchanged
from gmemsim.reports.views import DataTable, View
from gmemsim.reports.words import ESTIMATE, describe, modelled_time, times_note
from gmemsim.results.pricing import PHASE_NAMES, Times, phase_times, profile_of
from gmemsim.results.timeline import Event, Events, Label
from gmemsim.units import human_duration

KINDS = (
    ("ordinary", ".", "#999999"),
    ("split", "v", "#D55E00"),
    ("merge", "^", "#0072B2"),
    ("failed", "x", "#000000"),
    ("unchanged", "o", "#56B4E9"),
    ("other calls", "+", "#009E73"),
)
"""What is told apart: name, marker, colour.  No accounts and no sizes are in this figure."""

ORDINARY, SPLIT, MERGE, FAILED, UNCHANGED, OTHER = range(len(KINDS))

QUANTILES = (0.1, 0.5, 0.9, 0.99)
"""Of every kind: a thick line from the first to the third, a mark at the second; the second and the last in words."""

MANY = 100
"""Of fewer calls the last of the quantiles is the longest call, and is not named."""

FIELDS = 120
"""Fields of the vertical axis within which calls look the same."""

BINS = 80
"""Bins of a distribution."""

DIFFERENT = 1.2
"""Calls are shown over time if the longest took at least so many times the shortest."""

ROW_HEIGHT = 0.36
"""Inches of a kind's distribution."""

LONGEST = 3
"""Lengths of calls that are named below the figure."""


@attrs.frozen(eq=False)
class Calls:
    """All calls of a run: what kind each was, and its modelled time in ns (0: nothing in it has a price)."""

    kinds: Integers
    times: Times

    def of(self, kind: int) -> Times:
        """The times of one kind."""
        times: Times = self.times[self.kinds == kind]
        return times


def calls_of(result: Reportable) -> Calls:
    """The calls of a run's ``result``; events that are no calls of a guest, such as a wait, are not among them."""
    events = result.timeline.events
    times = phase_times(events, profile_of(result.summary)).sum(axis=1)
    return Calls(_kinds(events), times)


def _kinds(events: Events) -> Integers:
    """The index in :data:`KINDS` of what each of ``events`` was, -1 of one that was no call."""
    labels, label = events.labels()
    kinds = np.array([_kind(label) for label in labels], dtype=np.int64)[label]
    called = (kinds == ORDINARY) | (kinds == OTHER)
    kinds[called & (events.work("folios_merged") > 0)] = MERGE
    kinds[called & (events.work("folios_split") > 0)] = SPLIT
    kinds[unchanged(events)] = UNCHANGED
    return kinds


def _kind(label: Label) -> int:
    """The same of an event of this ``label`` that split and merged nothing."""
    if label.errno is not None:
        return FAILED
    if not label.works:
        return -1
    return ORDINARY if label.kind == "convert" else OTHER


def draw(view: View) -> Figure:
    """The figure."""
    result = view.result
    events, axis, calls = result.timeline.events, time_axis(result.timeline), calls_of(result)
    notes = [*_longest(events, calls.times, axis), *_caveats(result.summary)]
    used = [kind for kind in range(len(KINDS)) if (calls.kinds == kind).any()]
    priced = np.flatnonzero((calls.times > 0) & (calls.kinds >= 0))
    over_time = says_something(axis.events[priced], calls.times[priced])
    heights = [ROW_HEIGHT * max(len(used), 2), *([2.4] if over_time else []), canvas.note_height(notes)]
    fig, (spread, *scatter, below) = canvas.sheet(view.title, heights)
    _distributions(spread, calls, used)
    for ax in scatter:
        _scatter(ax, axis, calls, priced)
        ax.set_ylabel(f"modelled time of a call [{ESTIMATE}, log]")
        canvas.along(axis, [ax])
    canvas.write_below(fig, below, notes)
    return fig


def says_something(x: Times, times: Times) -> bool:
    """Whether calls at ``x`` that took so long look different over time: not all at once, and not all as long."""
    return len(times) > 1 and bool(np.ptp(x) > 0) and float(times.max()) >= DIFFERENT * float(times.min())


def _distributions(ax: Axes, calls: Calls, used: Sequence[int]) -> None:
    """A row for every kind: its distribution, its quantiles, and in words how many there were."""
    priced = calls.times[(calls.times > 0) & (calls.kinds >= 0)]
    if len(priced):
        low, high = float(priced.min()) / 2, float(priced.max()) * 2
        ax.set_xscale("log")
        ax.set_xlim(low, high)
        _durations(ax.xaxis)
        ax.set_xlabel(f"modelled time of a call [{ESTIMATE}, log]; line: 10 to 90 %, mark: median, point: longest")
        ax.grid(axis="x", linewidth=0.3, color="#cccccc")
    else:
        ax.set_xticks([])
        canvas.say(ax, "no call took any time")
    for row, kind in enumerate(used):
        _distribution(ax, -row, kind, calls.of(kind))
    ax.set_yticks([-row for row in range(len(used))], [KINDS[kind][0] for kind in used])
    ax.set_ylim(-len(used) + 0.5, 0.75)
    ax.tick_params(axis="y", length=0)


def _distribution(ax: Axes, y: int, kind: int, times: Times) -> None:
    colour, priced = KINDS[kind][2], times[times > 0]
    if len(priced):
        edges = np.geomspace(*ax.get_xlim(), BINS + 1)
        counts, _ = np.histogram(priced, edges)
        heights = 0.55 * counts / counts.max()
        ax.fill_between(edges[:-1], y, y + heights, step="post", color=colour, alpha=0.35, linewidth=0)
        first, median, third, _ = np.quantile(priced, QUANTILES).tolist()
        ax.plot([first, third], [y, y], color=colour, linewidth=3, solid_capstyle="butt")
        ax.plot([median], [y], marker="|", markersize=9, markeredgewidth=1.4, color=canvas.INK)
        ax.plot([priced.max()], [y], marker=".", markersize=5, color=colour)
    ax.annotate(
        _in_words(len(times), priced),
        (1, y),
        (4, 0),
        xycoords=ax.get_yaxis_transform(),
        textcoords="offset points",
        va="center",
        fontsize=6.5,
        linespacing=1.1,
    )


def _in_words(number: int, priced: Times) -> str:
    """How many calls of a kind there were, and their times; what would be said twice is said once."""
    if not len(priced):
        return f"{number:,} × none priced"
    words = f"{number:,} ×" + (f" ({len(priced):,} priced)" if len(priced) < number else "")
    shortest, median, last, longest = map(modelled_time, np.quantile(priced, (0, *QUANTILES[1::2], 1)).tolist())
    if shortest == longest:
        return f"{words}\n{longest}{' each' if len(priced) > 1 else ''}"
    tail = f"99 % {last}, " if len(priced) >= MANY else ""
    return f"{words}\nmedian {median}\n{tail}max {longest}"


def _durations(axis: TickedAxis) -> None:
    """Ticks of a logarithmic axis of ns."""
    axis.set_major_locator(LogLocator(numticks=12))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: human_duration(value)))


def _scatter(ax: Axes, axis: Axis, calls: Calls, priced: Integers) -> None:
    x, y, kinds = axis.events[priced], calls.times[priced], calls.kinds[priced]
    low, high = float(y.min()), float(y.max())
    for kind, (name, marker, colour) in enumerate(KINDS):
        here = np.flatnonzero(kinds == kind)
        if not len(here):
            continue
        kept = here[_thinned(x[here], y[here], axis.end, low, high)]
        ax.plot(
            x[kept],
            y[kept],
            linestyle="none",
            marker=marker,
            markersize=4 if len(kept) < BUCKETS else 2,
            markeredgewidth=0.7,
            color=colour,
            alpha=1.0 if len(kept) < BUCKETS else 0.6,
            label=name,
            zorder=3 if kind == FAILED else 2,
        )
    ax.set_yscale("log")
    ax.set_ylim(low / 2, high * 2)
    _durations(ax.yaxis)
    ax.grid(axis="y", linewidth=0.3, color="#cccccc")
    canvas.legend(ax)


def _thinned(x: Times, y: Times, end: float, low: float, high: float) -> Integers:
    """Indices of calls that look like all of them; the longest of every column is among them."""
    if len(x) <= BUCKETS:
        return np.arange(len(x))
    column = (x * (BUCKETS / end)).astype(np.int64)
    field = (np.log(y / low) * (FIELDS / max(np.log(high / low), 1e-9))).astype(np.int64)
    descending = np.argsort(-y, kind="stable")
    _, first = np.unique((column * (FIELDS + 1) + field)[descending], return_index=True)
    kept: npt.NDArray[np.int64] = np.sort(descending[first])
    return kept


def _caveats(summary: Mapping[str, Any]) -> list[str]:
    """Whose prices the times are, and what is not in them."""
    words = [f"Times are estimates: cost profile {profile_of(summary).name}", times_note(summary)]
    return canvas.notes_of([f"{'; '.join(filter(None, words))}."])


def _longest(events: Sequence[Event], times: Times, axis: Axis) -> list[str]:
    """A line for each of the longest calls; of several that took equally long one is named."""
    bounds: dict[str, tuple[float, float]] = {}
    for time in np.unique(times[times > 0])[::-1].tolist():
        said = modelled_time(time)
        if said not in bounds and len(bounds) == LONGEST:
            break
        bounds[said] = time, bounds.get(said, (time, time))[1]
    lines = []
    for said, (low, high) in bounds.items():
        alike = np.flatnonzero((times >= low) & (times <= high))
        more = f" (the first of {len(alike):,} as long)" if len(alike) > 1 else ""
        first = int(alike[0])
        line = f"{said} at {axis.name(axis.events[first])} – {describe(events[first])}"
        lines.append(f"{line[: canvas.NOTE_COLUMNS - len(more)]}{more}")
    return lines


def table(view: View) -> DataTable:
    """A row for every event: what it was, and modelled ns by phase and in all."""
    header = ("time_ns", "step", "guest", "kind", "detail", "offset", "size", "errno")
    return DataTable((*header, *(f"{phase}_ns" for phase in PHASE_NAMES), "total_ns"), _rows(view.result))


def _rows(result: Reportable) -> Iterator[tuple[object, ...]]:
    phases = phase_times(result.timeline.events, profile_of(result.summary))
    for event, times in zip(result.timeline.events, phases.tolist(), strict=True):
        what = (event.guest, event.kind, event.detail, event.offset, event.size, event.errno)
        yield event.time_ns, event.step, *what, *times, fsum(times)
