# SPDX-License-Identifier: GPL-2.0-or-later
"""One figure of a run, as PNG or SVG.

Theory of operation
-------------------
Three panels share one horizontal axis: memory held by account (stacked), a strip with the conversions, and folios by
class of sizes.  A run of several guests has one more: what each of them held at its peak, so that they can be compared.

Peaks of the total are numbered; what they are and what caused them stands below the figure, where it cannot hide
anything.  Curves are thinned out by :mod:`gmemsim.reports.figures.curves` without losing a peak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gmemsim.host.accounts import ACCOUNTS
from gmemsim.reports import Reportable
from gmemsim.reports.figures import HOLDINGS, canvas, stack, strip
from gmemsim.reports.figures.bars import Composition, peak_bars
from gmemsim.reports.figures.canvas import legend, say, unit
from gmemsim.reports.figures.curves import BUCKETS, Axis, prominent, time_axis
from gmemsim.reports.figures.orders import folio_panel
from gmemsim.reports.guests import foremost, host_itself, left_out
from gmemsim.reports.views import DataTable, View
from gmemsim.reports.words import describe
from gmemsim.results.recordings import Holdings
from gmemsim.results.timeline import TOTAL, Column, Timeline
from gmemsim.units import human_size

MOST_GUESTS = 12
"""Guests that have a bar at most: those with the highest peaks."""

_LIMIT_TEXT: Final[dict[str, Any]] = {
    "ha": "right",
    "va": "bottom",
    "fontsize": 7,
    "parse_math": False,
    "textcoords": "offset points",
    "xycoords": "axes fraction",
}
"""How the budget is written."""

LARGE_RISE = 0.1
"""A single rise of this part of a peak is worth a line of its own."""

LIMIT_SHOWN = 1.6
"""The budget is drawn if it is at most so many times what was held."""


def write(result: Reportable, path: Path) -> None:
    """Write the figure of ``result`` to ``path``, whose suffix (``.png`` or ``.svg``) names the format."""
    canvas.save(lambda: draw(View(result)), path)


def figure(result: Reportable) -> Figure:
    """The figure of ``result``, for notebooks and further work."""
    with canvas.paper():
        return draw(View(result))


def table(view: View) -> DataTable:
    """All samples: ``time_ns``, live bytes of every account and ``total``, ``folios.ORDER``."""
    columns = view.result.timeline.columns()
    return DataTable(tuple(columns), zip(*(values.tolist() for values in columns.values()), strict=True))


def draw(view: View) -> Figure:
    """The figure."""
    timeline = view.result.timeline
    axis, rows = time_axis(timeline), strip.rows(timeline.events)
    columns = timeline.columns()  # many in a long run: made once
    total = columns[TOTAL]
    peaks = prominent(axis.samples, total, axis.end)
    bars, about_guests = _bars(view)
    notes = _notes(peaks, axis, timeline, total) + about_guests

    heights = [2.6, strip.height(rows), 1.6, *([0.2 + 0.19 * len(bars)] if bars else []), canvas.note_height(notes)]
    fig, (memory, calls, folios, *extra, text) = canvas.sheet(view.title, heights)
    fig.align_ylabels([memory, folios])
    _memory_panel(memory, axis, {name: columns[name] for name in timeline.accounts}, total, peaks)
    _limit(memory, view.kernel_memory, int(total.max(initial=0)))
    _failures(memory, axis, timeline, total, rows)
    if memory.get_legend_handles_labels()[0]:
        legend(memory, reverse=True)
    strip.draw(calls, memory, axis, rows)
    folio_panel(folios, axis, timeline)
    for panel in extra:
        peak_bars(panel, bars, "guest")
    canvas.along(axis, [memory, calls, folios])
    canvas.write_below(fig, text, notes)
    return fig


def _bars(view: View) -> tuple[Mapping[str, Composition], list[str]]:
    """What each guest held at its peak, and notes on what has no bar; nothing of a single guest.

    Without a recording only the totals are known.
    """
    guests = view.peaks()
    if len(guests) < 2:
        return {}, []
    recorded: Holdings | None = view.recordings.get(HOLDINGS)
    known = {} if recorded is None else recorded.guests
    chosen = foremost({name: guests[name] for name in known or guests}, MOST_GUESTS)
    said = {"Guests": left_out(guests, chosen, len(known) or len(guests))}
    said["Not in the bars"] = host_itself(view.result.summary)
    notes = canvas.notes_of(f"{what}: {words}" for what, words in said.items() if words)
    if not known:
        return {name: {TOTAL: guests[name]} for name in chosen}, notes
    return {name: dict(zip(ACCOUNTS, known[name].peak.row, strict=True)) for name in chosen}, notes


def _limit(ax: Axes, limit: int | None, highest: int) -> None:
    """The budget as a dashed line with its value, or in words if it is far above all that was held."""
    if limit is None:
        return
    words = f"kernel_memory {human_size(limit)}"
    _, scale = unit(highest)
    if limit > LIMIT_SHOWN * highest:
        ax.annotate(f"{words} ↑", (1, 1), (-2, 1), **_LIMIT_TEXT)
        return
    ax.set_ylim(0, 1.13 * max(limit, highest) / scale)
    canvas.binary_ticks(ax)
    ax.axhline(limit / scale, color=canvas.INK, linestyle="--", linewidth=0.9)
    # Above the panel, where no number of a peak can be.
    ax.annotate(f"{words} (dashed)", (1, 1), (-2, 1), **_LIMIT_TEXT)


def _failures(ax: Axes, axis: Axis, timeline: Timeline, total: Column, rows: Sequence[strip.StripRow]) -> None:
    """A cross on the curve where calls failed: at what was held when the call had ended."""
    failed = np.concatenate([row.events for row in rows if row.name == strip.FAILED] or [np.array([], dtype=np.int64)])
    if not len(failed) or not len(total):
        return
    at = np.maximum(np.searchsorted(timeline.owners(), failed, side="right") - 1, 0)
    x, y = axis.events[failed], total[at] / unit(int(total.max(initial=0)))[1]
    kept = np.unique((x * (BUCKETS / axis.end)).astype(np.int64), return_index=True)[1]
    marks: dict[str, Any] = {"linestyle": "none", "marker": "x", "color": "#000000", "zorder": 5, "clip_on": False}
    size, width = (4.0, 1.0) if len(kept) <= strip.FEW else (2.0, 0.5)  # many must not look like a layer of memory
    ax.plot(x[kept], y[kept], markersize=size, markeredgewidth=width, label=f"failed, {len(failed):,} ×", **marks)


def _notes(peaks: Sequence[int], axis: Axis, timeline: Timeline, total: Column) -> list[str]:
    """A line for every numbered peak: value, place and cause.

    The step that reaches a peak may add little to it, which is said; where another one added more at once, a second
    line names that.
    """
    owners = timeline.owners()

    def cause(at: int) -> str:
        owner = int(owners[at])
        what = describe(timeline.events[owner]) if owner < len(timeline.events) else "after the last step"
        return f"at {axis.name(axis.samples[at])} – {what}"

    notes = []
    start = 0
    for number, at in enumerate(peaks, 1):
        before = int(np.searchsorted(owners, owners[at]))
        added = int(total[at] - (total[before - 1] if before else 0))
        small = f", which added {human_size(added)} of it" if 0 < added < LARGE_RISE * total[at] else ""
        notes.append(f"({number}) peak {human_size(total[at])} {cause(at)}{small}")
        rises = np.diff(total[start : at + 1])
        most = start + 1 + int(rises.argmax()) if len(rises) else at
        rise = int(total[most] - total[most - 1])
        if owners[most] != owners[at] and rise >= LARGE_RISE * total[at]:
            notes.append(f"(…) of which {human_size(rise)} at once {cause(most)}")
        start = at
    return canvas.notes_of(notes)


def _memory_panel(ax: Axes, axis: Axis, held: Mapping[str, Column], total: Column, peaks: Sequence[int]) -> None:
    highest = int(total.max(initial=0))
    name_of_unit, scale = unit(highest)
    ax.set_ylabel(f"host memory held [{name_of_unit}]")
    stack.draw(ax, axis.samples, held, axis.end, highest)
    top = highest / scale or 1.0
    ax.set_ylim(0, 1.13 * top)
    canvas.binary_ticks(ax)
    for number, at in enumerate(peaks, 1):
        place = (axis.samples[at], total[at] / scale)
        ax.annotate(
            str(number),
            place,
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=6.5,
            bbox={"boxstyle": "circle,pad=0.2", "fc": "white", "ec": "#222222", "lw": 0.6},
        )
    if not highest:
        ax.set_yticks([0])
        say(ax, "nothing held")
