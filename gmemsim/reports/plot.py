"""One figure of a run, as PNG or SVG.

Theory of operation
-------------------
Three panels share one horizontal axis: memory held by account (stacked), a strip with the conversions, and
folios by order.  The axis is simulated time; where all steps happened at one instant it is the number of the
step, and says so.

A figure has a few hundred columns of pixels, a run may have a million samples.  :func:`decimate` keeps, for
every bucket of the axis and every curve, the samples where the curve is lowest and highest: the picture is
the same, and no peak is lost.

Peaks of the total are numbered; what they are and what caused them stands below the figure, where it cannot
hide anything.  They are chosen by *prominence* (how far one has to go down before one can go higher), so a
staircase has one peak and a comb has many.

Figures are built from :class:`matplotlib.figure.Figure` (no pyplot, no global state) under matplotlib's
default style, and saved without dates or versions: the same run gives the same bytes.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import blended_transform_factory

from gmemsim.reports import Reportable
from gmemsim.reports.words import account_label, describe
from gmemsim.timeline import TOTAL, Column, Event, Timeline
from gmemsim.units import human_size

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

WIDTH = 6.5
"""Inches: the text width of a letter or A4 page."""

DPI = 200
"""Pixels an inch of the PNG."""

BUCKETS = 400
"""Buckets of the horizontal axis for :func:`decimate`: about two pixels of the PNG each."""

MAX_LABELS = 4
"""Peaks that are numbered at most."""

MIN_PROMINENCE = 0.1
"""A peak is numbered if it stands out by this part of the highest one."""

MIN_DISTANCE = 0.045
"""Numbers stand at least this part of the axis apart, or they would touch."""

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

STRIP = (("to shared", "v", "#D55E00"), ("to private", "^", "#0072B2"), ("failed", "x", "#000000"))
"""The rows of the strip of conversions: name, marker, colour."""

STEPS = "step"
"""The unit of the horizontal axis where it counts steps instead of time."""

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


@attrs.frozen(eq=False)
class _Axis:
    """The horizontal axis: where samples and events lie on it, where it ends, its label and unit."""

    samples: Floats
    events: Floats
    end: float
    label: str
    unit: str

    def name(self, x: float) -> str:
        """How the text below the figure speaks of ``x``."""
        return f"step {x:.0f}" if self.unit == STEPS else f"{x:.4g} {self.unit}"


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
    axis = _time_axis(timeline)
    total = timeline.columns()[TOTAL]
    peaks = _prominent(axis.samples, total, axis.end)
    notes = [_note(i + 1, at, axis, timeline, int(total[at])) for i, at in enumerate(peaks)]

    heights = [2.6, 0.5, 1.6]
    below = 0.17 * max(len(notes), 1)
    fig = Figure(figsize=(WIDTH, sum(heights) + 1.0 + below), layout="constrained")
    fig.suptitle(
        textwrap.fill(str(result.summary["title"]), 72),
        x=0.01,
        ha="left",
        fontsize=9.5,
        fontweight="bold",
        parse_math=False,
    )
    memory, strip, folios, text = fig.subplots(4, 1, height_ratios=[*heights, below])
    fig.align_ylabels([memory, folios])
    strip.sharex(memory)
    folios.sharex(memory)
    _memory_panel(memory, axis, timeline, total, peaks)
    _strip_panel(strip, memory, axis, timeline.events)
    _folio_panel(folios, axis, timeline)
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


def _time_axis(timeline: Timeline) -> _Axis:
    """Simulated time, or the number of the step where time does not tell the steps apart."""
    times = timeline.columns()["time_ns"]
    events = np.array([event.time_ns for event in timeline.events], dtype=np.int64)
    end = max(timeline.end_ns, *times[-1:].tolist(), *events[-1:].tolist(), 0)
    if end == 0 or (len(events) > 1 and events[0] == events[-1]):
        return _step_axis(timeline)
    unit, scale = next(
        (name, scale)
        for name, scale in (("min", 60e9), ("s", 1e9), ("ms", 1e6), ("µs", 1e3), ("ns", 1.0))
        if end >= (5 if name == "min" else 1) * scale
    )
    return _Axis(times / scale, events / scale, end / scale, f"simulated time [{unit}]", unit)


def _step_axis(timeline: Timeline) -> _Axis:
    """Step number k from 1: the samples of a step lie at its number, those after the last step behind it."""
    steps = len(timeline.events)
    samples = timeline.owners().astype(np.float64) + 1
    samples[:1] = 0
    label = "step number (no simulated time passes between the steps)"
    return _Axis(samples, np.arange(1.0, steps + 1), steps + 1.0, label, STEPS)


def decimate(x: Floats, curves: Sequence[Column], end: float, buckets: int = BUCKETS) -> Integers:
    """Indices, ascending, of samples that look like all of them: of every bucket of the axis the first and
    the last sample, and for every curve the first sample at which it is lowest and at which it is highest.

    ``x`` must ascend and lie in 0 … ``end``.  O(samples x curves).
    """
    if len(x) <= 2 * buckets or end <= 0:
        return np.arange(len(x))
    bucket = np.minimum((x * (buckets / end)).astype(np.int64), buckets - 1)
    first = np.flatnonzero(np.diff(bucket, prepend=-1))
    number = np.cumsum(np.diff(bucket, prepend=-1) != 0) - 1
    keep = [first, np.append(first[1:], len(x)) - 1]
    for curve in curves:
        for extreme in (np.minimum, np.maximum):
            hits = np.flatnonzero(curve == extreme.reduceat(curve, first)[number])
            keep.append(hits[np.flatnonzero(np.diff(number[hits], prepend=-1))])
    return np.unique(np.concatenate(keep))


def _prominent(x: Floats, total: Column, end: float) -> list[int]:
    """Indices of the samples with the most prominent peaks of ``total``, in order of time.

    From the highest sample down, each joins the hill of a higher neighbour or starts its own; where two hills
    meet, the lower one ends and its prominence is known.
    """
    kept = decimate(x, [total], end)
    values = total[kept].tolist()
    if not values or max(values) <= 0:
        return []
    hill: dict[int, int] = {}
    prominence: dict[int, int] = {}

    def summit(i: int) -> int:
        while hill[i] != i:
            hill[i] = hill[hill[i]]
            i = hill[i]
        return i

    for i in sorted(range(len(values)), key=lambda i: (-values[i], i)):
        hill[i] = i
        for neighbour in (i - 1, i + 1):
            if neighbour in hill:
                higher, lower = sorted((summit(i), summit(neighbour)), key=lambda s: (-values[s], s))
                if higher != lower:
                    prominence[lower] = values[lower] - values[i]
                    hill[lower] = higher
    prominence[summit(0)] = max(values)
    chosen: list[int] = []
    for i in sorted(prominence, key=lambda i: (-prominence[i], i)):
        apart = all(abs(x[kept[i]] - x[other]) >= MIN_DISTANCE * end for other in chosen)
        if apart and prominence[i] >= MIN_PROMINENCE * max(values) and len(chosen) < MAX_LABELS:
            chosen.append(int(kept[i]))
    return sorted(chosen)


def _note(number: int, at: int, axis: _Axis, timeline: Timeline, value: int) -> str:
    owner = int(timeline.owners()[at])
    cause = describe(timeline.events[owner]) if owner < len(timeline.events) else "after the last step"
    note = f"({number}) peak {human_size(value)} at {axis.name(axis.samples[at])} – {cause}"
    return textwrap.shorten(note, 120, placeholder=" …")


def _memory_panel(ax: Axes, axis: _Axis, timeline: Timeline, total: Column, peaks: Sequence[int]) -> None:
    columns = timeline.columns()
    highest = int(total.max(initial=0))
    power = min(max(highest.bit_length() - 1, 0) // 10, 4)
    unit, scale = ("B", "KiB", "MiB", "GiB", "TiB")[power], 1024.0**power
    ax.set_ylabel(f"host memory held [{unit}]")
    used = [name for name in timeline.accounts if columns[name].any()]
    seen = [columns[name] for name in used if columns[name].max() >= VISIBLE * highest]
    kept = decimate(axis.samples, [total, *seen], axis.end)
    x = _to_end(axis.samples[kept], axis.end)
    spike = np.flatnonzero(np.isin(kept, _spikes(axis.samples, total, VISIBLE * highest)))
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


def _spikes(x: Floats, total: Column, height: float) -> Integers:
    """Indices of samples that no area shows: the next one, lower by ``height`` or more, has the same time."""
    return np.flatnonzero((np.diff(x) == 0) & (np.diff(total) <= -height))


def _strip_panel(ax: Axes, above: Axes, axis: _Axis, events: Sequence[Event]) -> None:
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


def _folio_panel(ax: Axes, axis: _Axis, timeline: Timeline) -> None:
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
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=axis.unit == STEPS))
    ax.grid(axis="y", linewidth=0.3, color="#cccccc")
    ax.set_ylabel("folios [count, log]")
    if used:
        _legend(ax, reverse=False)
    else:
        ax.set_yticks([0])
        _say(ax, "no folios")


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
