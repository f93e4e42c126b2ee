# SPDX-License-Identifier: GPL-2.0-or-later
"""The fronts of a tuning: peak memory against modelled time, and against the longest call."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from gmemsim.reports.figures import canvas
from gmemsim.reports.tuned import MARKED, answer, asked
from gmemsim.reports.words import made_by
from gmemsim.studies.trials import Measured
from gmemsim.studies.tune import PLANES, Tuning
from gmemsim.units import human_duration, human_size

PANEL_HEIGHT: Final = 2.3
"""Inches."""

MARKERS: Final = (("s", 9), ("^", 7), ("D", 5))
"""Of the policies marked: form and size, hollow and each smaller than the last, so that none hides another."""

MOST_SIZES: Final = 9
"""Ticks of the axis of memory."""

TITLE_COLUMNS: Final = 88
"""Characters of a line above the panels."""

TIMES: Final = {"modelled_time": "modelled time ≈", "longest_call": "longest call ≈"}
"""The names of the vertical axes."""


def write(tuning: Tuning, path: Path) -> None:
    """Write the figure of ``tuning`` to ``path``, whose suffix (``.png`` or ``.svg``) names the format."""
    canvas.save(lambda: draw(tuning), path, made_by(tuning))


def draw(tuning: Tuning) -> Figure:
    """A panel for each plane; today's policy, staged and non-uniform are marked, and the best."""
    title = f"{tuning.scenario.title}{'' if tuning.complete else ' (partial: interrupted)'}"
    fig, panels = canvas.sheet(title, [PANEL_HEIGHT] * len(PLANES))
    sizes = _sizes(tuning)
    for ax, (peak, other) in zip(panels, PLANES, strict=True):
        _panel(ax, tuning, peak, other)
        ax.set_xlim(*sizes)
    words = [asked(tuning), *answer(tuning)]
    told = "\n".join(line for sentence in words for line in canvas.wrapped(sentence, TITLE_COLUMNS))
    panels[0].set_title(told, loc="left", parse_math=False)
    canvas.legend(panels[0])
    return fig


def _panel(ax: Axes, tuning: Tuning, peak: str, other: str) -> None:
    points = sorted(_point(found, peak, other) for found in tuning.front)
    steps, lowest = [], float("inf")
    for point in points:
        if point[1] < lowest:
            lowest = point[1]
            steps.append(point)
    ax.step([x for x, _ in steps], [y for _, y in steps], where="post", color="#999999", linewidth=0.8)
    ax.plot(
        [x for x, _ in steps], [y for _, y in steps], "o", color="#0072B2", markersize=4, label="front", clip_on=False
    )
    for name, (marker, size), colour in zip(MARKED, MARKERS, canvas.LINE_COLOURS[1:], strict=False):
        found = tuning.named.get(name)
        if found is not None and found.values:
            _mark(ax, _point(found, peak, other), marker, size, colour, name)
    if tuning.best is not None:
        _mark(ax, _point(tuning.best, peak, other), "*", 12, "#D55E00", "best")
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(LogLocator(base=2, numticks=MOST_SIZES))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: human_size(size)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(0, 1.05 * ax.get_ylim()[1])
    ax.set_xlabel("peak memory")
    ax.set_ylabel(TIMES[other])
    ax.yaxis.set_major_formatter(FuncFormatter(lambda ns, _: human_duration(ns) if ns else "0"))
    ax.grid(linewidth=0.3, color="#cccccc")


def _sizes(tuning: Tuning) -> tuple[float, float]:
    """The bytes from which to which the axes of both panels go: whole powers of two, so that equal peaks look equal."""
    peaks = [max(1.0, found.values[PLANES[0][0]]) for found in (*tuning.front, *tuning.named.values()) if found.values]
    low = math.floor(math.log2(min(peaks, default=1.0)))
    high = max(low + 1, math.ceil(math.log2(max(peaks, default=1.0))))
    return 2.0 ** (low - 0.2), 2.0 ** (high + 0.2)


def _mark(ax: Axes, point: tuple[float, float], marker: str, size: float, colour: str, label: str) -> None:
    ax.plot(
        *point,
        marker,
        color=colour,
        markersize=size,
        markerfacecolor="none",
        markeredgewidth=1.4,
        label=label,
        clip_on=False,  # one at 0 is shown as a whole
        zorder=3,
    )


def _point(found: Measured, peak: str, other: str) -> tuple[float, float]:
    """Bytes and ns."""
    return found.values[peak], found.values[other]
