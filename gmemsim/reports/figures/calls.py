# SPDX-License-Identifier: GPL-2.0-or-later
"""What every call took, as a scatter over time: modelled times, all of them estimates.

A run may have a million calls: of those of one kind that fall into the same small field of the picture one is drawn,
and always the longest of every column.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from math import fsum
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from gmemsim.reports import Reportable
from gmemsim.reports.figures import canvas
from gmemsim.reports.figures.curves import BUCKETS, Axis, Integers, time_axis
from gmemsim.reports.views import DataTable, View
from gmemsim.reports.words import ESTIMATE, describe, modelled_time, times_note
from gmemsim.results.pricing import PHASE_NAMES, Times, phase_times, profile_of
from gmemsim.results.timeline import Event
from gmemsim.units import human_duration

KINDS = (
    ("to shared", "v", "#D55E00"),
    ("to private", "^", "#0072B2"),
    ("other calls", "o", "#009E73"),
    ("failed", "x", "#000000"),
)
"""What is told apart: name, marker, colour."""

FIELDS = 120
"""Fields of the vertical axis within which calls look the same."""

LONGEST = 3
"""Calls that are named below the figure."""


def draw(view: View) -> Figure:
    """The figure."""
    result = view.result
    events, axis = result.timeline.events, time_axis(result.timeline)
    times = phase_times(events, profile_of(result.summary)).sum(axis=1)
    notes = [*_longest(events, times, axis), *_caveats(result.summary)]
    fig, (ax, below) = canvas.sheet(view.title, [3.2, canvas.note_height(notes)])
    priced = np.flatnonzero(times > 0)
    if len(priced):
        _scatter(ax, axis, events, times, priced)
    else:
        ax.set_yticks([])
        canvas.say(ax, "no call took any time")
    ax.set_ylabel(f"modelled time of a call [{ESTIMATE}, log]")
    canvas.along(axis, [ax])
    canvas.write_below(fig, below, notes)
    return fig


def _kind(event: Event) -> int:
    """The index in :data:`KINDS` of what ``event`` was."""
    if event.errno is not None:
        return 3
    if event.kind != "convert":
        return 2
    return 0 if "shared" in event.detail else 1


def _scatter(ax: Axes, axis: Axis, events: Sequence[Event], times: Times, priced: Integers) -> None:
    kinds = np.array([_kind(events[i]) for i in priced])
    x, y = axis.events[priced], times[priced]
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
            label=f"{name}, {len(here):,} ×",
            zorder=3 if kind == 3 else 2,
        )
    ax.set_yscale("log")
    ax.set_ylim(low / 2, high * 2)
    ax.yaxis.set_major_locator(LogLocator(numticks=12))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: human_duration(value)))
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
    return np.sort(descending[first])


def _caveats(summary: Mapping[str, Any]) -> list[str]:
    """Whose prices the times are, and what is not in them."""
    words = [f"Times are estimates: cost profile {profile_of(summary).name}", times_note(summary)]
    return textwrap.wrap(f"{'; '.join(filter(None, words))}.", 118)


def _longest(events: Sequence[Event], times: Times, axis: Axis) -> list[str]:
    """A line for each of the longest calls."""
    order = np.argsort(-times, kind="stable")[:LONGEST]
    return [
        f"{modelled_time(times[i])} at {axis.name(axis.events[i])} – {describe(events[i])}"[:120]
        for i in order
        if times[i] > 0
    ]


def table(view: View) -> DataTable:
    """A row for every event: what it was, and modelled ns by phase and in all."""
    header = ("time_ns", "step", "guest", "kind", "detail", "offset", "size", "errno")
    return DataTable((*header, *(f"{phase}_ns" for phase in PHASE_NAMES), "total_ns"), _rows(view.result))


def _rows(result: Reportable) -> Iterator[tuple[object, ...]]:
    phases = phase_times(result.timeline.events, profile_of(result.summary))
    for event, times in zip(result.timeline.events, phases.tolist(), strict=True):
        what = (event.guest, event.kind, event.detail, event.offset, event.size, event.errno)
        yield event.time_ns, event.step, *what, *times, fsum(times)
