# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of a run by name: what each needs of the run, its picture, and the data behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs
from matplotlib.figure import Figure

from gmemsim.reports import Reportable
from gmemsim.reports.figures import calls, canvas, foliomap, occupancy, orders
from gmemsim.reports.figures import memory as plot
from gmemsim.reports.views import Table, View, write_table
from gmemsim.sim.census import CensusRecorder
from gmemsim.sim.layout import LayoutRecorder
from gmemsim.sim.recorder import Recorder

if TYPE_CHECKING:
    from gmemsim.sim.run import Run


@attrs.frozen
class Kind:
    """A figure: ``caption`` says what it shows, ``needs`` which recorder must have looked."""

    caption: str
    draw: Callable[[View], Figure]
    table: Callable[[View], Table]
    needs: Literal["layout", "census"] | None = None


FIGURES: Mapping[str, Kind] = {
    "memory": Kind("Memory held over time by account, conversions, folios by size", plot.draw, plot.table),
    "map": Kind("Size of the folios by offset and time, and what is shared", foliomap.draw, foliomap.table, "layout"),
    "orders": Kind("Folios and mappings by size over time", orders.draw, orders.table, "census"),
    "calls": Kind("Modelled time of every call, an estimate", calls.draw, calls.table),
    "occupancy": Kind("XArray nodes by level, and how full they are", occupancy.draw, occupancy.table, "census"),
}
"""Every figure of a run."""


class Watch:
    """The recorders of ``run`` that some figures need, and what they have seen."""

    def __init__(self, figures: Iterable[str], run: Run) -> None:
        needs = {FIGURES[name].needs for name in figures}
        self._layout = LayoutRecorder(run) if "layout" in needs else None
        self._census = CensusRecorder(run) if "census" in needs else None

    @property
    def recorders(self) -> tuple[Recorder, ...]:
        """The recorders; none where no figure needs one."""
        return tuple(recorder for recorder in (self._layout, self._census) if recorder is not None)

    def view(self, result: Reportable) -> View:
        """What figures are drawn from, after the run."""
        layout = None if self._layout is None else self._layout.result()
        return View(result, layout, None if self._census is None else self._census.result())


def write(name: str, view: View, path: Path) -> None:
    """Write the figure ``name`` to ``path``, whose suffix (``.png`` or ``.svg``) names the format."""
    canvas.save(lambda: FIGURES[name].draw(view), path)


def write_data(name: str, view: View, path: Path) -> None:
    """Write the data behind the figure ``name`` to ``path`` as CSV."""
    write_table(FIGURES[name].table(view), path)


def figure(name: str, view: View) -> Figure:
    """The figure ``name``, for notebooks and further work."""
    with canvas.paper():
        return FIGURES[name].draw(view)
