# SPDX-License-Identifier: GPL-2.0-or-later
"""Aligned GiB of the hugepage pool without a private page over time: where the host can skip SNP's RMP checks."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from gmemsim.reports.figures import REGIONS, canvas
from gmemsim.reports.figures.curves import decimate, time_axis
from gmemsim.reports.views import DataTable, View
from gmemsim.results.recordings import Regions

MANY = 100
"""Changes up to which each is seen by itself."""


def draw(view: View) -> Figure:
    """The figure; the regions must have been recorded."""
    regions = _regions(view)
    axis = time_axis(view.result.timeline)
    notes = [
        f"Of {regions.total:,} aligned GiB of the hugepage pool, those in which no SNP guest has a private page:"
        f" at least {min(regions.free):,}, at the end {regions.free[-1]:,}.",
        "A page counts as soon as its hugepage is allocated; the kernel assigns it at the guest's first touch.",
        *([canvas.WIDE_LINES] if len(regions.free) > MANY else []),
    ]
    fig, (panel, below) = canvas.sheet(view.title, [2.0, canvas.note_height(notes)])
    x = np.array([axis.events[event] if event >= 0 else 0.0 for event in regions.events])
    free = np.array(regions.free, dtype=np.int64)
    kept = decimate(x, [free], axis.end)
    points = canvas.to_end(x[kept], axis.end), canvas.hold(free[kept])
    # Above the axis, or none left would look like nothing drawn.
    panel.step(*points, where="post", color="#0072B2", linewidth=1.4, clip_on=False, zorder=3)
    panel.set_ylim(0, max(regions.total, 4) * 1.05)
    canvas.binary_ticks(panel)
    panel.set_ylabel("GiB without private pages")
    canvas.along(axis, [panel])
    canvas.write_below(fig, below, notes)
    return fig


def table(view: View) -> DataTable:
    """A row for every change: ``time_ns``, ``regions_without_private``, ``regions``."""
    regions = _regions(view)
    rows = ((time, free, regions.total) for time, free in zip(regions.times, regions.free, strict=True))
    return DataTable(("time_ns", "regions_without_private", "regions"), rows)


def _regions(view: View) -> Regions:
    regions: Regions = view.recording(REGIONS)
    return regions
