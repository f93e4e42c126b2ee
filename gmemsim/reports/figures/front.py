# SPDX-License-Identifier: GPL-2.0-or-later
"""The fronts of a tuning: peak memory against modelled time, and against the longest call."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from gmemsim.reports.figures import canvas
from gmemsim.reports.tuned import MARKED, asked
from gmemsim.reports.words import made_by
from gmemsim.studies.trials import Measured
from gmemsim.studies.tune import PLANES, Tuning

PANEL_HEIGHT: Final = 2.3
"""Inches."""

MARKERS: Final = ("s", "^", "D")
"""Of the policies marked."""

SECONDS: Final = {"modelled_time": "modelled time [ms] ≈", "longest_call": "longest call [ms] ≈"}


def write(tuning: Tuning, path: Path) -> None:
    """Write the figure of ``tuning`` to ``path``, whose suffix (``.png`` or ``.svg``) names the format."""
    canvas.save(lambda: draw(tuning), path, made_by(tuning))


def draw(tuning: Tuning) -> Figure:
    """A panel for each plane; today's policy, staged and non-uniform are marked, and the best."""
    title = f"{tuning.scenario.title}{'' if tuning.complete else ' (partial: interrupted)'}"
    fig, panels = canvas.sheet(title, [PANEL_HEIGHT] * len(PLANES))
    for ax, (peak, other) in zip(panels, PLANES, strict=True):
        _panel(ax, tuning, peak, other)
    panels[0].set_title(asked(tuning), loc="left", parse_math=False)
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
    ax.plot([x for x, _ in steps], [y for _, y in steps], "o", color="#0072B2", markersize=4, label="front")
    for name, marker, colour in zip(MARKED, MARKERS, canvas.LINE_COLOURS[1:], strict=False):
        found = tuning.named.get(name)
        if found is not None and found.values:
            ax.plot(*_point(found, peak, other), marker=marker, color=colour, linestyle="none", label=name)
    if tuning.best is not None:
        ax.plot(
            *_point(tuning.best, peak, other), "*", color="#D55E00", markersize=10, label="best", markerfacecolor="none"
        )
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(LogFormatter())
    ax.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.4)))
    ax.set_xlabel("peak memory [MiB]")
    ax.set_ylabel(SECONDS[other])
    ax.grid(linewidth=0.3, color="#cccccc")


def _point(found: Measured, peak: str, other: str) -> tuple[float, float]:
    """MiB and ms."""
    return found.values[peak] / (1 << 20), found.values[other] / 1e6
