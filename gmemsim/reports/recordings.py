# SPDX-License-Identifier: GPL-2.0-or-later
"""What figures need of a run while it goes on: the recorders to let look at it, and the view they make possible.

What must change together: a recorder's place in a figure's row (:mod:`gmemsim.reports.figures`), and the class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gmemsim.registry import late
from gmemsim.reports.figures import FIGURES

if TYPE_CHECKING:
    from gmemsim.sim.run import Observer


def recorders(figures: Iterable[str]) -> dict[str, Observer]:
    """The recorders that ``figures`` need, each once, by its place."""
    needs = dict.fromkeys(FIGURES[name].needs for name in figures)
    return {place: late(place)() for place in needs if place is not None}


def recordings(used: Mapping[str, Any]) -> dict[str, Any]:
    """What each recorder has seen, after the run."""
    return {place: (getattr(seen, "layout", None) or seen.census)() for place, seen in used.items()}
