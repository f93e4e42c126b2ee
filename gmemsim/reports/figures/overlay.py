# SPDX-License-Identifier: GPL-2.0-or-later
"""One figure of a comparison: what each policy or scenario holds over time, and its peak by account.

Lines differ in colour and in dashes, so that they are told apart in any colour vision and in print.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gmemsim.host.accounts import ACCOUNTS
from gmemsim.reports.compared import made_by
from gmemsim.reports.figures import canvas
from gmemsim.reports.figures.bars import peak_bars
from gmemsim.reports.figures.curves import common_axes, decimate
from gmemsim.reports.words import account_colour, account_label
from gmemsim.results.timeline import TOTAL
from gmemsim.studies.compare import Comparison

DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)), (0, (9, 2)))
"""Dashes of the lines, in turn; five of them and eight colours repeat together after forty lines only."""


def write(comparison: Comparison, path: Path) -> None:
    """Write the figure of ``comparison`` to ``path``, whose suffix (``.png`` or ``.svg``) names the format."""
    canvas.save(lambda: _draw(comparison), path, made_by(comparison))


def figure(comparison: Comparison) -> Figure:
    """The figure of ``comparison``, for notebooks and further work."""
    with canvas.paper():
        return _draw(comparison)


def _draw(comparison: Comparison) -> Figure:
    number = len(comparison.names)
    title = f"{comparison.title} (partial: interrupted)" if comparison.partial else comparison.title
    fig, (lines, bars) = canvas.sheet(title, [max(2.4, 0.16 * number), 0.35 + 0.19 * number])
    timelines = [result.timeline for result in comparison.results.values()]
    axes = common_axes(timelines)
    totals = [timeline.columns()[TOTAL] for timeline in timelines]
    highest = max(int(total.max(initial=0)) for total in totals)
    unit, scale = canvas.unit(highest)
    colours = canvas.colours(number)
    for i, (name, axis, total) in enumerate(zip(comparison.names, axes, totals, strict=True)):
        kept = decimate(axis.samples, [total], axis.end)
        lines.step(
            canvas.to_end(axis.samples[kept], axis.end),
            canvas.hold(total[kept] / scale),
            where="post",  # draws what lasts no time as a line up and down
            color=colours[i],
            linestyle=DASHES[i % len(DASHES)],
            linewidth=1.3,
            label=canvas.short(name, 20),
        )
    lines.set_ylim(0, 1.08 * (highest / scale or 1))
    lines.set_ylabel(f"host memory held [{unit}]")
    canvas.along(max(axes, key=lambda axis: axis.end), [lines])
    canvas.legend(lines)
    peak_bars(bars, {name: result.summary["accounts"] for name, result in comparison.results.items()}, comparison.what)
    _accounts(bars, comparison)
    return fig


def _accounts(ax: Axes, comparison: Comparison) -> None:
    """The legend of the bars."""
    used = [
        name
        for name in ACCOUNTS
        if any(result.summary["accounts"][name]["peak"] for result in comparison.results.values())
    ]
    handles = [Patch(color=account_colour(name), label=account_label(name)) for name in used]
    ax.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, borderaxespad=0.2, handlelength=1.0
    )
