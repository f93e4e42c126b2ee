# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of a run by name, one file each.

A figure is a module with ``draw(view)``, which makes a matplotlib figure, and ``table(view)``, the data behind it; the
module is imported on use.  What a figure needs beyond the timeline is seen by a *recorder*
(:mod:`gmemsim.sim.recorder`), which looks at the run while it goes on; its row names the recorder, and the view has
what that has seen.

Beside them live the figures of studies (``overlay``, ``heatmap``), that of one tree (``tree``), and what all of them
share (``canvas``, ``curves``, ``bars``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from gmemsim.registry import Registry, late

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gmemsim.reports.views import DataTable, View
    from gmemsim.sim.recorder import Recorder
    from gmemsim.sim.run import Run

LAYOUT = "gmemsim.sim.layout:LayoutRecorder"
"""The recorder that sees the size of the folios at every offset."""

CENSUS = "gmemsim.sim.census:CensusRecorder"
"""The recorder that counts nodes by level, and mappings."""

HOLDINGS = "gmemsim.sim.holdings:HoldingsRecorder"
"""The recorder that sees what each guest holds."""

REGIONS = "gmemsim.sim.regions:RegionsRecorder"
"""The recorder that counts the GiB of the pool without private pages."""

SUFFIXES = (".png", ".svg")
"""The formats of a figure's file."""


@attrs.frozen
class FigureKind:
    """A figure: ``module`` makes it, ``words`` say in a list what it shows, ``caption`` below it.

    ``needs``: the place of the recorder whose recording it is drawn from (default: none).  ``optional``: it can be
    drawn without that recording, and then says less (default: it cannot).
    """

    module: str
    words: str
    caption: str
    needs: str | None = None
    optional: bool = False

    def draw(self, view: View) -> Figure:
        """The figure, for a canvas that is set up already."""
        made: Figure = late(f"{self.module}:draw")(view)
        return made

    def table(self, view: View) -> DataTable:
        """The data behind the figure."""
        data: DataTable = late(f"{self.module}:table")(view)
        return data


FIGURES: Registry[FigureKind] = Registry("figure")
"""Every figure of a run."""

for _name, _module, _words, _caption, _needs in (
    ("memory", "memory", "by account", "Memory held over time by account, conversions, folios by size", HOLDINGS),
    (
        "holdings",
        "held",
        "what each guest holds",
        "Memory that each guest holds over time, all on one scale",
        HOLDINGS,
    ),
    (
        "map",
        "foliomap",
        "size of the folios by offset and time",
        "Size of the folios by offset and time, and what is shared",
        LAYOUT,
    ),
    ("orders", "orders", "folios and mappings by size", "Folios and mappings by size over time", CENSUS),
    ("calls", "calls", "modelled times by kind", "Modelled times of calls by kind and over time, an estimate", None),
    ("occupancy", "occupancy", "XArray nodes by level", "XArray nodes by level, and how full they are", CENSUS),
    (
        "regions",
        "regions",
        "GiB of the pool without private pages",
        "Aligned GiB of the hugepage pool without a private page of an SNP guest",
        REGIONS,
    ),
):
    FIGURES.add(
        _name, FigureKind(f"gmemsim.reports.figures.{_module}", _words, _caption, _needs, optional=_name == "memory")
    )


def write(name: str, view: View, path: Path, kept: dict[str, Figure] | None = None) -> None:
    """Write the figure ``name`` to ``path``, whose suffix, one of :data:`SUFFIXES`, names the format.

    ``kept`` (default: none) is for who writes it in both: the first call puts the figure there, by its name, and the
    second one takes it out instead of drawing it again.
    """
    from gmemsim.reports.figures import canvas
    from gmemsim.reports.words import provenance

    made = provenance([view.result.summary])
    drawn = None if kept is None else kept.pop(name, None)
    if drawn is None:
        drawn = canvas.finished(lambda: FIGURES[name].draw(view), made)
        if kept is not None:
            kept[name] = drawn
    canvas.put(drawn, path, made)


def write_data(name: str, view: View, path: Path) -> None:
    """Write the data behind the figure ``name`` to ``path`` as CSV."""
    from gmemsim.reports.views import write_table

    write_table(FIGURES[name].table(view), path)


def figure(name: str, view: View) -> Figure:
    """The figure ``name``, for notebooks and further work."""
    from gmemsim.reports.figures import canvas

    with canvas.paper():
        return FIGURES[name].draw(view)


def recorders(figures: Iterable[str], run: Run, *, necessary: bool = False) -> dict[str, Recorder]:
    """The recorders of ``run`` that ``figures`` need, each once, by their places; ``run`` must not have begun.

    ``necessary`` (default: no): only those without which a figure cannot be drawn.
    """
    needs = dict.fromkeys(row.needs for row in map(FIGURES.__getitem__, figures) if not (necessary and row.optional))
    return {place: late(place)(run) for place in needs if place is not None}


def recordings(used: Mapping[str, Recorder]) -> dict[str, Any]:
    """What each recorder has seen, by its place."""
    return {place: recorder.result() for place, recorder in used.items()}


def watched(run: Run, figures: Iterable[str]) -> View:
    """Carry out ``run`` to its end, and return what ``figures`` are drawn from."""
    from gmemsim.reports.views import View

    used = recorders(figures, run)
    for event in run:
        for recorder in used.values():
            recorder.see(event)
    return View(run.result(), recordings(used))
