# SPDX-License-Identifier: GPL-2.0-or-later
"""Plots for Plotly: memory, folios and the folio map of a run over one axis of time; peaks; what calls took.

Theory of operation
-------------------
A plot is a list of Plotly's traces and a layout, as plain values.  What is drawn comes from the same functions as the
figures (:mod:`gmemsim.reports.figures`), and has the same colours.  Curves keep of every bucket of the axis the lowest
and the highest sample, so no peak is lost (:func:`~gmemsim.reports.figures.curves.decimate`), and what is shown at the
cursor is a sample's own value, in full.  Stacked areas are drawn as sums; the value at the cursor is the account's.

What can be worked out in the browser is left to ``page.js``, or a page of a long run would be twice as large: both
points of a step, the sums of a stack, the rows of a map, and the colours of the sizes, which depend on the paper
(:class:`~gmemsim.reports.page.parts.Plot` says how a trace asks for that).

Plotly reads some HTML in text, so names from outside go through :func:`~gmemsim.reports.page.parts.text`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

import attrs
import numpy as np

from gmemsim.reports.figures import LAYOUT, foliomap, strip
from gmemsim.reports.figures.bars import Composition
from gmemsim.reports.figures.calls import KINDS, QUANTILES, Calls
from gmemsim.reports.figures.curves import Axis, Floats, Integers, common_axes, decimate, time_axis
from gmemsim.reports.figures.sizes import COLOURS, EMPTY, ON_DARK, by_class, geometry_of
from gmemsim.reports.page.parts import Plot, text
from gmemsim.reports.views import View
from gmemsim.reports.words import account_colour, account_label
from gmemsim.results.recordings import CLASSES, GuestLayout, Layout
from gmemsim.results.timeline import TOTAL, Column, Timeline
from gmemsim.units import human_duration, human_size

Trace = dict[str, Any]

BUCKETS = 1000
"""Buckets of the axis of time for curves."""

CURVES_IN_FULL = 4
"""Curves of a stack up to which each has so many buckets; more of them share, since each point is written for all."""

MAP_ROWS = 96
"""Rows of all folio maps together."""

LEAST_ROWS = 24
"""Rows of a guest's folio map at least."""

MOST_MARKS = 2000
"""Failed calls that are marked at most."""

DIGITS = 10
"""Digits of a place on the axis, counted from the first one of the axis's end."""

GAP = 34
"""CSS pixels between two panels: a panel's name fits."""

HUES = ("#3b7dd8", "#d9822b", "#2a9d5c", "#c2548f", "#8a6fd1", "#b5a11f", "#c8503c", "#4aa8b8")
"""Curves of results: seen on light and on dark paper, in turn."""

WIDTHS = (2.0, 2.75, 3.5, 4.5, 5.5)
"""CSS pixels of a curve by class of sizes, the smallest first: of two equal counts both are seen."""

PALETTES = {"light": (*COLOURS, EMPTY), "dark": (*ON_DARK, "#16181c")}
"""The classes of sizes, and no memory, on light and on dark paper; the last is that of ``page.css``."""

INK = "#7a7a7a"
"""A grey that is seen on light and on dark paper."""


@attrs.define
class Panels:
    """Panels below each other over one horizontal axis, from the top down."""

    axis: Axis
    traces: list[Trace] = attrs.field(factory=list)
    layouts: list[dict[str, Any]] = attrs.field(factory=list)
    heights: list[int] = attrs.field(factory=list)
    names: list[str] = attrs.field(factory=list)
    byte_axes: list[str] = attrs.field(factory=list)

    def add(self, name: str, height: int, traces: Sequence[Trace], *, of_bytes: bool = False, **axis: Any) -> None:
        """A panel called ``name``, of so many CSS pixels, with ``traces``; ``of_bytes``: its axis counts bytes."""
        number = len(self.heights) + 1
        key = "y" if number == 1 else f"y{number}"
        self.traces += [{**trace, "xaxis": "x", "yaxis": key} for trace in traces]
        self.layouts.append({"anchor": "x", "zeroline": False, **axis})
        self.heights.append(height)
        self.names.append(name)
        if of_bytes:
            self.byte_axes.append(_axis_name(number))

    def plot(self, name: str, caption: str) -> Plot:
        """All panels as one plot."""
        whole = sum(self.heights) + GAP * len(self.heights)
        layout: dict[str, Any] = {
            "hovermode": "x unified",
            "hoversubplots": "axis",
            "hoverdistance": -1,
            "barmode": "stack",
            "legend": {"orientation": "h", "y": -58 / whole, "yanchor": "top", "itemsizing": "constant"},
            "annotations": [],
            "xaxis": {
                "title": {"text": self.axis.label},
                "range": [0, self.axis.end],
                "anchor": "y" if len(self.heights) == 1 else f"y{len(self.heights)}",
                "showspikes": True,
                "spikemode": "across",
                "spikesnap": "cursor",
                "spikethickness": 1,
                "spikedash": "solid",
                "spikecolor": INK,
                "hoverformat": ".6~g",
                "zeroline": False,
            },
        }
        top = whole
        for number, (title, height, axis) in enumerate(zip(self.names, self.heights, self.layouts, strict=True), 1):
            top -= GAP
            domain = [max(0.0, (top - height) / whole), top / whole]
            layout[_axis_name(number)] = {**axis, "domain": domain}
            layout["annotations"].append(_title(title, domain[1]))
            top -= height
        return Plot(name, caption, self.traces, layout, whole + 182, self.byte_axes, PALETTES)


def _axis_name(number: int) -> str:
    return "yaxis" if number == 1 else f"yaxis{number}"


def _title(words: str, y: float) -> dict[str, Any]:
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": y, "xanchor": "left", "yanchor": "bottom"}
    return {"text": text(words), "showarrow": False, **place}


def over_time(view: View) -> Plot:
    """Memory by account with the failed calls, folios by size, and the folio map of each guest that was watched."""
    timeline = view.result.timeline
    panels = Panels(time_axis(timeline))
    panels.add("host memory held", 300, list(_memory(view, panels.axis)), of_bytes=True, rangemode="tozero")
    folios = list(_folios(timeline, panels.axis))
    if folios:
        panels.add("folios", 170, folios, type="log", dtick=3 * float(np.log10(2)), tickformat=",d")
    layout: Layout | None = view.recordings.get(LAYOUT)
    words = ["Drag to zoom in, double-click to zoom out; the cursor is shared by all panels."]
    if len(timeline.columns()[TOTAL]) > 2 * BUCKETS:
        words.append("The grey line is the total; where it looks like a band, it goes up and down within a pixel.")
    if layout is not None:
        rows = max(LEAST_ROWS, MAP_ROWS // len(layout.guests))
        for guest in layout.guests:
            trace = _map(guest, layout, panels.axis, rows)
            panels.add(f"folio map of {guest.guest}, by offset", max(70, 2 * rows), [trace], of_bytes=True)
        used = {kind for kind, part in enumerate(foliomap.most_at_once(layout)) if part} | {*by_class(timeline)}
        panels.traces += [_legend_of_size(panels, kind, layout) for kind in sorted(used)]
        words += [f"Folio maps: {said}" for said in (foliomap.column_words(panels.axis), *foliomap.choice(layout))]
    return panels.plot("time", " ".join(words))


def totals(timelines: Mapping[str, Timeline]) -> Plot:
    """What each of ``timelines``, by name, holds in all, as curves in one panel."""
    axes = common_axes(list(timelines.values()))
    panels = Panels(max(axes, key=lambda axis: axis.end))
    traces = []
    for name, timeline, axis, colour in zip(timelines, timelines.values(), axes, cycle(HUES), strict=False):
        total = timeline.columns()[TOTAL]
        kept = decimate(axis.samples, [total], axis.end, BUCKETS)
        at, end = axis.samples[kept], panels.axis.end
        traces.append(steps(at, total[kept], end, name, colour, hovertemplate="%{y:,} B"))
    panels.add("host memory held", 320, traces, of_bytes=True, rangemode="tozero")
    return panels.plot("time", "Drag to zoom in, double-click to zoom out.")


def places(x: Floats, end: float) -> list[float]:
    """``x`` on an axis up to ``end`` with no more digits than anyone can zoom to."""
    decimals = DIGITS - len(str(int(end)))
    rounded: list[float] = np.round(x, decimals).tolist()
    return rounded


def curve(x: Sequence[float], y: Sequence[Any], name: str, colour: str, **more: Any) -> Trace:
    """A curve through points."""
    line = {"color": colour, "width": 1.5}
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": text(name), "line": line, **more}


def steps(x: Floats, y: Column, end: float, name: str, colour: str, **more: Any) -> Trace:
    """A curve whose values ``y`` hold until the next one, and at last until ``end``."""
    return curve(places(x, end), y.tolist(), name, colour, steps=True, **more)


def _memory(view: View, axis: Axis) -> Iterator[Trace]:
    timeline = view.result.timeline
    columns = timeline.columns()
    used = [name for name in timeline.accounts if columns[name].any()]
    buckets = BUCKETS * CURVES_IN_FULL // max(CURVES_IN_FULL, len(used) + 1)
    kept = decimate(axis.samples, [columns[TOTAL], *(columns[name] for name in used)], axis.end, buckets)
    x, total = axis.samples[kept], columns[TOTAL][kept]
    for name in used:
        yield {
            **steps(x, columns[name][kept], axis.end, account_label(name), account_colour(name), stacked=True),
            "line": {"width": 0, "color": account_colour(name)},
            "fill": "tozeroy" if name == used[0] else "tonexty",
            "fillcolor": account_colour(name),
            "hovertemplate": "%{customdata:,} B",
        }
    yield steps(x, total, axis.end, "total", INK, hovertemplate="%{y:,} B")
    if view.kernel_memory is not None:
        words = f"kernel_memory {human_size(view.kernel_memory)}"
        limit = curve([0, axis.end], [view.kernel_memory] * 2, words, INK, hovertemplate="%{y:,} B")
        far = view.kernel_memory > 2 * int(total.max(initial=0))
        yield {**limit, "line": {"dash": "dash", "color": INK}, **({"visible": "legendonly"} if far else {})}
    yield from _failures(timeline, axis)


def _failures(timeline: Timeline, axis: Axis) -> Iterator[Trace]:
    """A cross for failed calls on the curve of the total, a trace for every errno and account."""
    total, owners = timeline.columns()[TOTAL], timeline.owners()
    for row in strip.rows(timeline.events):
        if row.name != strip.FAILED or not len(total):
            continue
        kept = row.events[:: -(-len(row.events) // MOST_MARKS)]
        size, width = (8, 1.5) if len(kept) <= strip.FEW else (3, 0.8)  # many must not look like a layer of memory
        at = np.maximum(np.searchsorted(owners, kept, side="right") - 1, 0)
        yield {
            "type": "scatter",
            "mode": "markers",
            "x": places(axis.events[kept], axis.end),
            "y": total[at].tolist(),
            "name": text(f"failed, {row.words} ({len(row.events):,} ×)"),
            "marker": {"symbol": "x-thin", "size": size, "line": {"width": width, "color": INK}},
            "hovertemplate": f"{text(row.words)} at %{{y:,}} B",
        }


def _folios(timeline: Timeline, axis: Axis) -> Iterator[Trace]:
    names = geometry_of(timeline).class_names
    for kind, counts in sorted(by_class(timeline).items(), reverse=True):
        kept = decimate(axis.samples, [counts], axis.end, BUCKETS)
        shown = steps(axis.samples[kept], counts[kept], axis.end, names[kind], INK, legendgroup=str(kind))
        shown |= {"y": [value or None for value in shown["y"]], "showlegend": False}  # a logarithmic axis has no 0
        around = {**shown, "hoverinfo": "skip", "around": True}
        inside = {**shown, "hovertemplate": "%{y:,}", "size": kind}
        for trace, width in ((around, WIDTHS[kind] + 2), (inside, WIDTHS[kind])):
            trace["line"] = {"color": INK, "width": width}  # the palest is not seen on white without what is around it
            yield trace


def _map(guest: GuestLayout, layout: Layout, axis: Axis, rows: int) -> Trace:
    """The picture of :mod:`~gmemsim.reports.figures.foliomap`, coarser, with the size's name at the cursor."""
    pages, _ = foliomap.states(guest, layout, axis)
    classes = foliomap.picture(guest, pages, layout.geometry.page_size, rows)
    width, height = axis.end / foliomap.COLUMNS, guest.size / len(classes)
    return {
        "type": "heatmap",
        "x0": width / 2,
        "dx": width,
        "y0": height / 2,
        "dy": height,
        "rows": ["".join(map(str, row)) for row in classes.tolist()],
        "names": [*layout.geometry.class_names, "no memory"],
        "zmin": -0.5,
        "zmax": CLASSES + 0.5,
        "showscale": False,
        "name": text(guest.guest),
        "hovertemplate": "%{customdata}",
    }


def _legend_of_size(panels: Panels, kind: int, layout: Layout) -> Trace:
    """An entry of the legend."""
    marker = {"symbol": "square", "size": 11, "color": COLOURS[kind], "line": {"width": 1, "color": INK}}
    what = {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "hoverinfo": "skip"}
    name = f"folios of {layout.geometry.class_names[kind]}"
    return {**what, "marker": marker, "name": name, "xaxis": "x", "yaxis": "y", "legendgroup": str(kind), "size": kind}


def peaks(held: Mapping[str, Composition], each: str) -> Plot:
    """A bar for every name in ``held``, made of what it held at its peak by account; ``each`` says what they are."""
    accounts = dict.fromkeys(name for parts in held.values() for name, size in parts.items() if size)
    names = [text(name) for name in held]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "x": [parts.get(account, 0) for parts in held.values()],
            "y": names,
            "name": "total" if account == TOTAL else account_label(account),
            "marker": {"color": INK if account == TOTAL else account_colour(account)},
            "hovertemplate": "%{x:,} B",
        }
        for account in accounts
    ]
    layout = {
        "barmode": "stack",
        "hovermode": "y unified",
        "xaxis": {"title": {"text": f"held by each {each} at the instant of its peak"}, "rangemode": "tozero"},
        "yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
        "legend": {"orientation": "h", "y": -58 / (24 * len(names) + 40), "yanchor": "top"},  # the buttons are above
    }
    return Plot(
        "peaks", f"What each {each} held at its peak, by account.", traces, layout, 190 + 24 * len(names), ["xaxis"]
    )


def call_times(calls: Calls) -> Plot:
    """A box for every kind of call that has a price: quantiles of the modelled times, an estimate."""
    traces, highest = [], 1.0
    for kind, (name, _, colour) in enumerate(KINDS):
        priced = calls.of(kind)
        priced = priced[priced > 0]
        if len(priced):
            low, median, high, last = np.quantile(priced, QUANTILES).tolist()
            highest = max(highest, float(priced.max()))
            traces.append(_box(name, colour, (low, median, high), (float(priced.min()), last)))
    decades = range(int(np.ceil(np.log10(highest))) + 1)
    ticks = {"tickvals": [10.0**k for k in decades], "ticktext": [human_duration(10.0**k) for k in decades]}
    layout = {
        "xaxis": {"type": "log", "title": {"text": "modelled time of a call (≈, log)"}, **ticks},
        "yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
        "showlegend": False,
    }
    caption = "Modelled times of calls by kind, an estimate: boxes from 10 to 90 % with the median, whiskers to 99 %."
    return Plot("calls", caption, traces, layout, 130 + 44 * max(len(traces), 1))


def _box(name: str, colour: str, box: tuple[float, float, float], whiskers: tuple[float, float]) -> Trace:
    low, median, high = ([value] for value in box)
    fences = {"lowerfence": [whiskers[0]], "upperfence": [whiskers[1]]}
    return {
        "type": "box",
        "orientation": "h",
        "y": [name],
        "q1": low,
        "median": median,
        "q3": high,
        **fences,
        "name": name,
        "line": {"color": INK if colour == "#000000" else colour},
    }


def kept_events(events: Integers, most: int) -> Integers:
    """At most so many of ``events``, evenly."""
    return events[:: max(1, -(-len(events) // max(most, 1)))]
