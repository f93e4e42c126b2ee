# SPDX-License-Identifier: GPL-2.0-or-later
"""A figure, a format and a recorder that only tests know: what a user's own would look like."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from gmemsim.reports.figures import canvas
from gmemsim.reports.views import DataTable, View


def draw(view: View) -> Figure:
    """The number of events, as text."""
    fig, (ax,) = canvas.sheet(view.title, [1.0])
    canvas.say(ax, f"{len(view.result.timeline.events)} events")
    return fig


def table(view: View) -> DataTable:
    return DataTable(("events",), [(len(view.result.timeline.events),)])


def write(view: View, path: Path) -> None:
    path.write_text(f"{view.result.summary['title']}: {len(view.result.timeline.events)}\n")


def write_text(study: object) -> str:
    return f"{type(study).__name__}\n"
