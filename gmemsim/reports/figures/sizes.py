# SPDX-License-Identifier: GPL-2.0-or-later
"""The sizes of folios in figures: five classes, each with one colour in every figure.

Nineteen sizes cannot be told apart by colour, five can: base pages, what lies above them, a PMD's size, what lies above
that, and the largest hugepage.  The colours are one hue whose steps in lightness are even, dark for small folios, so
they read the same in any colour vision and in grey.  No account has this hue
(:mod:`gmemsim.host.accounts`), and neither has what a figure marks (:data:`~gmemsim.reports.figures.canvas.MARK`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gmemsim.host.geometry import Geometry
from gmemsim.results.timeline import Column, Timeline
from gmemsim.units import parse_size

COLOURS = ("#1d0b40", "#4b2d8a", "#7f63bb", "#ad9bd8", "#d9d1ef")
"""The classes' colours, smallest size first."""

ON_DARK = ("#7454ba", "#9077d2", "#ad9ae6", "#cabef4", "#e9e4fe")
"""The same hue in the same order for dark paper, where even the first stands out (three times its luminance)."""

APART = np.sqrt((2, 3, 5, 7, 11, 13))
"""Multiples of each, without what is before the point, lie evenly between 0 and 1, and go with no other's."""

EMPTY = "#ffffff"
"""Where there is no memory."""


def geometry_of(timeline: Timeline) -> Geometry:
    """The machine whose folios ``timeline`` counts: its first size is the base page."""
    return Geometry(parse_size(timeline.orders[0])) if timeline.orders else Geometry()


def by_class(timeline: Timeline) -> Mapping[int, Column]:
    """The number of folios of every class that occurs, over the samples of ``timeline``."""
    geometry = geometry_of(timeline)
    found: dict[int, Column] = {}
    for name in timeline.orders:
        counts = timeline.column(f"folios.{name}")
        if counts.any():
            kind = geometry.size_class(geometry.order_of(parse_size(name)))
            found[kind] = found[kind] + counts if kind in found else counts
    return dict(sorted(found.items()))


def spread(shares: Sequence[Column], rows: Sequence[int]) -> Column:
    """Rows of a picture that show how much of every cell is of each class; one column of the picture for each of many.

    ``shares[cell]`` has a row for every column and a column for every class, which sum up to 1; ``rows[cell]`` is how
    many rows the cell has.  The result has the classes by row and column.  What one cell's rows are too few to show is
    carried to the next, so that in every column each class has as many rows as it is part of the whole, to within
    the number of classes.  What is less than a row of all cells together is in some columns and not in others.
    O(rows x columns).
    """
    columns = len(shares[0])
    credit = _begin(shares)
    here = np.arange(columns)
    picture = []
    for share, number in zip(shares, rows, strict=True):
        picked = np.empty((number, columns), dtype=np.int64)
        for row in range(number):
            credit += share
            picked[row] = (credit - (share == 0)).argmax(axis=1)
            credit[here, picked[row]] -= 1
        picture.append(np.sort(picked, axis=0))
    return np.concatenate(picture)


def _begin(shares: Sequence[Column]) -> npt.NDArray[np.float64]:
    """What every column has of each class to begin with, up to half a row more or less: another part in each.

    If all began with nothing, a class that has a few rows of a column would have them at the same offsets in all
    columns, though its memory is everywhere.  Columns that are alike begin alike, so what stays as it is is a line.
    """
    columns, classes = shares[0].shape
    differ = np.zeros(columns, dtype=bool)
    for share in shares:
        differ[1:] |= (share[1:] != share[:-1]).any(axis=1)
    begin: npt.NDArray[np.float64] = np.outer(differ.cumsum(), APART[:classes]) % 1 - 0.5
    begin -= begin.mean(axis=1, keepdims=True)
    return begin
