# SPDX-License-Identifier: GPL-2.0-or-later
"""One figure of a run, as PNG or SVG.

Theory of operation
-------------------
Three panels share one horizontal axis: memory held by account (stacked), a strip with the conversions, and folios by
order.  A run of a few guests has one more: what each of them cost at its peak, so that policies can be compared.

Peaks of the total are numbered; what they are and what caused them stands below the figure, where it cannot hide
anything.  Curves are thinned out by :mod:`gmemsim.reports.figures.curves` without losing a peak.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gmemsim.reports import Reportable
from gmemsim.reports.figures import canvas
from gmemsim.reports.figures.bars import peak_bars
from gmemsim.reports.figures.canvas import (
    hold,
    legend,
    say,
    to_end,
    unit,
)
from gmemsim.reports.figures.curves import BUCKETS, Axis, decimate, prominent, spikes, time_axis
from gmemsim.reports.figures.orders import folio_panel
from gmemsim.reports.views import DataTable, View
from gmemsim.reports.words import account_colour, account_label, describe
from gmemsim.results.timeline import TOTAL, Column, Event, Timeline
from gmemsim.units import human_size

MOST_GUESTS = 12
"""More guests than that have no bar each: the figure would be all bars."""

STRIP = (("to shared", "v", "#D55E00"), ("to private", "^", "#0072B2"), ("failed", "x", "#000000"))
"""The rows of the strip of conversions: name, marker, colour."""

LARGE_RISE = 0.25
"""A single rise of this part of a peak is worth a line of its own."""

VISIBLE = 0.01
"""A curve or a spike that stays below this part of the highest total is thinner than a line."""

FEW = 40
"""Up to so many marks in a row of the strip keep their shape; more become ticks."""


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
    result, timeline = view.result, view.result.timeline
    axis = time_axis(timeline)
    total = timeline.columns()[TOTAL]
    peaks = prominent(axis.samples, total, axis.end)
    notes = _notes(peaks, axis, timeline, total)

    guests = result.summary["guests"] if 1 < len(result.summary["guests"]) <= MOST_GUESTS else []

    heights = [2.6, 0.5, 1.6, *([0.2 + 0.19 * len(guests)] if guests else []), canvas.note_height(notes)]
    fig, (memory, strip, folios, *extra, text) = canvas.sheet(view.title, heights)
    fig.align_ylabels([memory, folios])
    _memory_panel(memory, axis, timeline, total, peaks)
    _strip_panel(strip, memory, axis, timeline.events)
    folio_panel(folios, axis, timeline)
    for panel in extra:
        peak_bars(panel, {guest["name"]: guest["accounts"] for guest in guests}, "guest")
    canvas.along(axis, [memory, strip, folios])
    canvas.write_below(fig, text, notes)
    return fig


def _notes(peaks: Sequence[int], axis: Axis, timeline: Timeline, total: Column) -> list[str]:
    """A line for every numbered peak: value, place and cause.

    The step that reaches a peak may add little to it: where another one added more at once, a second line names that.
    """
    owners = timeline.owners()

    def cause(at: int) -> str:
        owner = int(owners[at])
        what = describe(timeline.events[owner]) if owner < len(timeline.events) else "after the last step"
        return f"at {axis.name(axis.samples[at])} – {what}"

    notes = []
    start = 0
    for number, at in enumerate(peaks, 1):
        notes.append(f"({number}) peak {human_size(total[at])} {cause(at)}")
        rises = np.diff(total[start : at + 1])
        most = start + 1 + int(rises.argmax()) if len(rises) else at
        rise = int(total[most] - total[most - 1])
        if owners[most] != owners[at] and rise >= LARGE_RISE * total[at]:
            notes.append(f"(…) of which {human_size(rise)} at once {cause(most)}")
        start = at
    return [textwrap.shorten(note, 120, placeholder=" …") for note in notes]


def _memory_panel(ax: Axes, axis: Axis, timeline: Timeline, total: Column, peaks: Sequence[int]) -> None:
    columns = timeline.columns()
    highest = int(total.max(initial=0))
    name_of_unit, scale = unit(highest)
    ax.set_ylabel(f"host memory held [{name_of_unit}]")
    used = [name for name in timeline.accounts if columns[name].any()]
    seen = [columns[name] for name in used if columns[name].max() >= VISIBLE * highest]
    kept = decimate(axis.samples, [total, *seen], axis.end)
    x = to_end(axis.samples[kept], axis.end)
    spike = np.flatnonzero(np.isin(kept, spikes(axis.samples, total, VISIBLE * highest)))
    lower = np.zeros(len(x))
    for name in used:
        upper = lower + hold(columns[name][kept] / scale)
        colour = account_colour(name)
        ax.fill_between(x, lower, upper, step="post", color=colour, linewidth=0, label=account_label(name))
        ax.vlines(x[spike], lower[spike], upper[spike], color=colour, linewidth=1.6, zorder=3)
        lower = upper
    ax.step(x, lower, where="post", color="#222222", linewidth=0.5)
    top = highest / scale or 1.0
    ax.set_ylim(0, 1.13 * top)
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
    if used:
        legend(ax, reverse=True)
    else:
        ax.set_yticks([0])
        say(ax, "nothing held")


def _strip_panel(ax: Axes, above: Axes, axis: Axis, events: Sequence[Event]) -> None:
    """One row each for conversions to shared, to private, and failed steps, with their number at the right.

    Where there are few, faint lines lead up through the panel ``above``.
    """
    kinds = np.array([_strip_row(event) for event in events], dtype=np.int64)
    for row, (_, marker, colour) in enumerate(STRIP):
        x = axis.events[kinds == row]
        bucket = np.unique((x * (BUCKETS / axis.end)).astype(np.int64), return_index=True)[1]
        few = len(bucket) <= FEW
        ax.plot(
            x[bucket],
            np.full(len(bucket), -row),
            linestyle="none",
            marker=marker if few else "|",
            markersize=4,
            markeredgewidth=0.8,
            color=colour,
        )
        if few:
            above.vlines(x[bucket], 0, 1, transform=above.get_xaxis_transform(), color=colour, lw=0.4, ls=":", zorder=0)
        ax.annotate(
            f"{len(x):,} ×",
            (1, -row),
            (4, 0),
            xycoords=ax.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    ax.set_yticks([-row for row in range(len(STRIP))], [name for name, _, _ in STRIP])
    ax.set_ylim(0.6 - len(STRIP), 0.6)
    ax.tick_params(axis="both", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _strip_row(event: Event) -> int:
    """The row of :data:`STRIP` to which ``event`` belongs, -1 for none."""
    if event.errno is not None:
        return 2
    if event.kind != "convert":
        return -1
    return 0 if "shared" in event.detail else 1
