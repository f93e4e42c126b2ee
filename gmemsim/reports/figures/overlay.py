# SPDX-License-Identifier: GPL-2.0-or-later
"""One figure of a comparison: what each policy or scenario holds over time, and at the instant of its peak.

A few results have a panel each, all on one scale.  More are lines in one panel, along a gradient and with dashes, so
that they are told apart in any colour vision and in print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gmemsim.reports.compared import made_by
from gmemsim.reports.figures import canvas, stack
from gmemsim.reports.figures.bars import at_peak, peak_bars
from gmemsim.reports.figures.curves import Axis, common_axes, decimate
from gmemsim.results.timeline import TOTAL, Timeline
from gmemsim.studies.compare import Comparison
from gmemsim.units import human_size

DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)), (0, (9, 2)))
"""Dashes of the lines, in turn."""

MOST_PANELS = 8
"""Results that have a panel each; more share one."""


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
    timelines = {name: result.timeline for name, result in comparison.results.items()}
    axes = common_axes(list(timelines.values()))
    below = [0.35 + 0.19 * number]
    if number <= MOST_PANELS:
        fig, panels, (bars,) = stack.sheet(title, number, below)
        stack.draw_all(panels, _stacks(timelines, axes), max(axes, key=lambda axis: axis.end))
    else:
        fig, (lines, bars) = canvas.sheet(title, [max(2.4, 0.16 * number), *below])
        _lines(lines, timelines, axes)
        held = [[timeline.columns()[name] for name in timeline.accounts] for timeline in timelines.values()]
        names = next(iter(timelines.values())).accounts
        canvas.legend(bars, stack.accounts([dict(zip(names, columns, strict=True)) for columns in held]))
    peak_bars(bars, {name: at_peak(timeline) for name, timeline in timelines.items()}, comparison.what)
    return fig


def _stacks(timelines: Mapping[str, Timeline], axes: Sequence[Axis]) -> list[stack.Stack]:
    stacks = []
    for (name, timeline), axis in zip(timelines.items(), axes, strict=True):
        columns = timeline.columns()
        peak = human_size(int(columns[TOTAL].max(initial=0)))
        held = {account: columns[account] for account in timeline.accounts}
        # One axis for all: what a shorter run held last goes on to its end.
        stacks.append(stack.Stack(name, f"peak {peak}", axis.samples, held))
    return stacks


def _lines(ax: Axes, timelines: Mapping[str, Timeline], axes: Sequence[Axis]) -> None:
    totals = [timeline.columns()[TOTAL] for timeline in timelines.values()]
    highest = max(int(total.max(initial=0)) for total in totals)
    unit, scale = canvas.unit(highest)
    colours = canvas.gradient(len(totals))
    for i, (name, axis, total) in enumerate(zip(timelines, axes, totals, strict=True)):
        kept = decimate(axis.samples, [total], axis.end)
        ax.step(
            canvas.to_end(axis.samples[kept], axis.end),
            canvas.hold(total[kept] / scale),
            where="post",  # draws what lasts no time as a line up and down
            color=colours[i],
            linestyle=DASHES[i % len(DASHES)],
            linewidth=1.3,
            label=canvas.short(name, 20),
        )
    ax.set_ylim(0, 1.08 * (highest / scale or 1))
    canvas.binary_ticks(ax)
    ax.set_ylabel(f"host memory held [{unit}]")
    canvas.along(max(axes, key=lambda axis: axis.end), [ax])
    canvas.legend(ax)
