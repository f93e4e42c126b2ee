# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison as CSV for a spreadsheet: a line for every figure of every result.

Columns: ``metric`` (a path into the summary), ``unit`` (bytes, count or ns), ``estimate`` (true or false), ``name``
(of the policy or scenario), ``value``, ``delta``, ``ratio`` (empty where the first is 0 and this is not).
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from gmemsim.reports.views import DataTable, write_rows
from gmemsim.studies.compare import Comparison

HEADER = ("metric", "unit", "estimate", "name", "value", "delta", "ratio")


def write(comparison: Comparison) -> str:
    """The comparison as CSV."""
    out = io.StringIO()
    write_rows(out, DataTable(HEADER, _rows(comparison)))
    return out.getvalue()


def _rows(comparison: Comparison) -> Iterator[tuple[object, ...]]:
    for row in comparison.rows:
        for name, value, delta, ratio in zip(comparison.names, row.values, row.deltas, row.ratios, strict=True):
            yield row.metric, row.unit, str(row.estimate).lower(), name, value, delta, ratio
