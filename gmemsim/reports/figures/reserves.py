# SPDX-License-Identifier: GPL-2.0-or-later
"""The figure of ``reserve``: bytes against the number of pages, a line for every policy."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from gmemsim.reports.figures import canvas
from gmemsim.reports.reserved import question_in_words
from gmemsim.reports.words import made_by, number
from gmemsim.studies.reserve import Reserve
from gmemsim.units import human_size

HEIGHT = 3.0
"""Inches of the panel."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def write(reserve: Reserve, path: Path) -> None:
    """Write the figure of ``reserve`` to ``path``, whose suffix (``.png`` or ``.svg``) names the format."""
    canvas.save(lambda: draw(reserve), path, made_by(reserve))


def draw(reserve: Reserve) -> Figure:
    """A line for every policy, for a canvas that is set up already."""
    title, *said = question_in_words(reserve)
    fig, (panel, below) = canvas.sheet(title, [HEIGHT, canvas.note_height(said)])
    policies = list(reserve.policies)
    colours = canvas.colours(max(len(policies), 1))
    for place, name in enumerate(policies):
        rows = sorted((row for row in reserve.rows if row.policy == name), key=lambda row: row.pages)
        panel.plot(
            [row.pages for row in rows],
            [row.bytes for row in rows],
            color=colours[place],
            marker=MARKERS[place % len(MARKERS)],
            markersize=4,
            linewidth=1.2,
            label=canvas.short(name, 20),
        )
    numbers = sorted({row.pages for row in reserve.rows})
    panel.set_xscale("log", base=2)
    panel.set_yscale("log", base=2)
    panel.set_xticks(numbers, [number(pages) for pages in numbers])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: human_size(value)))
    panel.grid(axis="y", linewidth=0.3, color="#cccccc")
    panel.set_xlabel("base pages shared")
    panel.set_ylabel("reserve")
    canvas.legend(panel)
    canvas.write_below(fig, below, said)
    return fig
