"""One figure of a run, as PNG or SVG.

Theory of operation
-------------------
Three panels share one horizontal axis: memory held by account (stacked), a strip with the conversions, and folios by
order.  A run of a few guests has one more: what each of them cost at its peak, so that policies can be compared.

Peaks of the total are numbered; what they are and what caused them stands below the figure, where it cannot hide
anything.  Curves are thinned out by :mod:`gmemsim.reports.curves` without losing a peak.

Figures are built from :class:`matplotlib.figure.Figure` (no pyplot, no global state) under matplotlib's
default style, and saved without dates or versions: the same run gives the same bytes.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import blended_transform_factory

from gmemsim.reports import Reportable
from gmemsim.reports.curves import BUCKETS, STEPS, Axis, Floats, decimate, prominent, spikes, time_axis
from gmemsim.reports.words import account_label, describe
from gmemsim.timeline import TOTAL, Column, Event, Timeline
from gmemsim.units import human_size

WIDTH = 6.5
"""Inches: the text width of a letter or A4 page."""

DPI = 200
"""Pixels an inch of the PNG."""

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
"""Eight colours that people with any colour vision tell apart (Okabe, Ito: Color Universal Design, 2008)."""

ACCOUNT_COLOURS = {
    "filemap_nodes": "#0072B2",
    "registry_nodes": "#56B4E9",
    "attributes": "#009E73",
    "folio_metadata": "#F0E442",
    "vmemmap": "#E69F00",
    "vmemmap_page_tables": "#CC79A7",
    "stage2_page_tables": "#D55E00",
    "memdesc": "#999999",
}
"""The same colour for the same account in every figure; neighbours in the stack differ most."""

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

STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "svg.hashsalt": "gmemsim",
}
"""On top of matplotlib's defaults; the hash salt makes the ids inside an SVG the same every time."""


def write(result: Reportable, path: Path) -> None:
    """Write the figure of ``result`` to ``path``, whose suffix (``.png`` or ``.svg``) names the format."""
    form = path.suffix.lower().lstrip(".")
    metadata: dict[str, str | None] = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
    with matplotlib.style.context(["default", STYLE]), warnings.catch_warnings():
        # A title may be in a script that the font lacks; boxes in the picture say so better than stderr.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        _draw(result).savefig(path, format=form, dpi=DPI, metadata=metadata)


def figure(result: Reportable) -> Figure:
    """The figure of ``result``, for notebooks and further work."""
    with matplotlib.style.context(["default", STYLE]):
        return _draw(result)


def _draw(result: Reportable) -> Figure:
    timeline = result.timeline
    axis = time_axis(timeline)
    total = timeline.columns()[TOTAL]
    peaks = prominent(axis.samples, total, axis.end)
    notes = _notes(peaks, axis, timeline, total)

    guests = result.summary["guests"] if 1 < len(result.summary["guests"]) <= MOST_GUESTS else []

    heights = [2.6, 0.5, 1.6, *([0.2 + 0.19 * len(guests)] if guests else []), 0.17 * max(len(notes), 1)]
    fig = Figure(figsize=(WIDTH, sum(heights) + 1.0), layout="constrained")
    fig.suptitle(
        textwrap.fill(str(result.summary["title"]), 72),
        x=0.01,
        ha="left",
        fontsize=9.5,
        fontweight="bold",
        parse_math=False,
    )
    memory, strip, folios, *extra, text = fig.subplots(len(heights), 1, height_ratios=heights)
    fig.align_ylabels([memory, folios])
    strip.sharex(memory)
    folios.sharex(memory)
    _memory_panel(memory, axis, timeline, total, peaks)
    _strip_panel(strip, memory, axis, timeline.events)
    _folio_panel(folios, axis, timeline)
    for panel in extra:
        _guest_panel(panel, guests)
    margin = 0.012 * axis.end
    memory.set_xlim(-margin, axis.end + margin)
    for upper in (memory, strip):
        upper.tick_params(labelbottom=False)
    folios.set_xlabel(axis.label)
    text.set_axis_off()
    text.text(
        0.01,
        1,
        "\n".join(notes),
        transform=blended_transform_factory(fig.transFigure, text.transAxes),
        va="top",
        fontsize=7,
        linespacing=1.4,
        parse_math=False,
        in_layout=False,
    )
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
    unit, scale = _unit(highest)
    ax.set_ylabel(f"host memory held [{unit}]")
    used = [name for name in timeline.accounts if columns[name].any()]
    seen = [columns[name] for name in used if columns[name].max() >= VISIBLE * highest]
    kept = decimate(axis.samples, [total, *seen], axis.end)
    x = _to_end(axis.samples[kept], axis.end)
    spike = np.flatnonzero(np.isin(kept, spikes(axis.samples, total, VISIBLE * highest)))
    lower = np.zeros(len(x))
    for name in used:
        upper = lower + _hold(columns[name][kept] / scale)
        colour = ACCOUNT_COLOURS.get(name, OKABE_ITO[-1])
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
        _legend(ax, reverse=True)
    else:
        ax.set_yticks([0])
        _say(ax, "nothing held")


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


def _folio_panel(ax: Axes, axis: Axis, timeline: Timeline) -> None:
    columns = timeline.columns()
    used = [order for order in timeline.orders if columns[f"folios.{order}"].any()]
    highest = 1
    for order, colour in zip(used, _colours(len(used)), strict=True):
        counts = columns[f"folios.{order}"]
        highest = max(highest, int(counts.max()))
        kept = decimate(axis.samples, [counts], axis.end)
        ax.step(
            _to_end(axis.samples[kept], axis.end),
            _hold(counts[kept]),
            where="post",
            color=colour,
            linewidth=1.4,
            label=order,
        )
    ax.set_yscale("symlog", linthresh=1, linscale=0.5)
    ax.set_ylim(0, 3 * highest)
    ax.yaxis.set_major_locator(FixedLocator([0, *(10.0**k for k in range(len(str(highest)) + 1))]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _count(value)))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=axis.unit == STEPS))
    ax.grid(axis="y", linewidth=0.3, color="#cccccc")
    ax.set_ylabel("folios [count, log]")
    if used:
        _legend(ax, reverse=False)
    else:
        ax.set_yticks([0])
        _say(ax, "no folios")


def _guest_panel(ax: Axes, guests: Sequence[Mapping[str, Any]]) -> None:
    """A bar a guest: the peak of each of its accounts side by side, and the peak of their sum in figures."""
    tallies = [guest["accounts"] for guest in guests]
    accounts = [name for name in tallies[0] if name != TOTAL]
    ends = [sum(tally[name]["peak_bytes"] for name in accounts) for tally in tallies]
    unit, scale = _unit(max(ends))
    left = np.zeros(len(guests))
    for name in accounts:
        width = np.array([tally[name]["peak_bytes"] / scale for tally in tallies])
        ax.barh(range(len(guests)), width, left=left, height=0.7, color=ACCOUNT_COLOURS.get(name, OKABE_ITO[-1]))
        left += width
    for row, (end, tally) in enumerate(zip(left, tallies, strict=True)):
        words = human_size(tally[TOTAL]["peak_bytes"])
        ax.annotate(words, (end, row), (3, 0), textcoords="offset points", va="center", fontsize=7)
    names = [str(guest["name"]) for guest in guests]
    short = [name if len(name) <= 16 else f"{name[:15]}…" for name in names]
    ax.set_yticks(range(len(guests)), short, parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.16 * (max(ends) / scale or 1))
    ax.set_xlabel(f"peak held by each guest, by account [{unit}]; in figures the peak of the sum")


def _unit(highest: int) -> tuple[str, float]:
    """The binary unit in which ``highest`` bytes are a number below 1024, and its bytes."""
    power = min(max(highest.bit_length() - 1, 0) // 10, 4)
    return ("B", "KiB", "MiB", "GiB", "TiB")[power], 1024.0**power


def _legend(ax: Axes, *, reverse: bool) -> None:
    handles, labels = ax.get_legend_handles_labels()
    order = range(len(handles))[:: -1 if reverse else 1]
    ax.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        borderaxespad=0.2,
        handlelength=1.6,
        ncols=1 if len(labels) <= 10 else 2,
    )


def _colours(n: int) -> Sequence[Any]:
    """``n`` colours: the fixed ones while they last, else evenly along a colour-blind safe gradient."""
    if n <= len(OKABE_ITO):
        return OKABE_ITO[:n]
    return [matplotlib.colormaps["viridis"](i / n) for i in range(n)]


def _say(ax: Axes, words: str) -> None:
    ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", color="#666666")


def _count(value: float) -> str:
    """``value`` as a short tick label: 0, 10, 1k, 100k, 1M."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.0f}{letter}"
    return f"{value:.0f}"


def _to_end(x: Floats, end: float) -> Floats:
    return np.append(x, end) if len(x) else x


def _hold(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``values`` with the last one repeated, to go with :func:`_to_end`."""
    return np.append(values, values[-1:])
