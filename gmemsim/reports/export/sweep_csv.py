# SPDX-License-Identifier: GPL-2.0-or-later
"""A sweep as CSV for a spreadsheet: a line for every variant.

Columns: one for every key that is varied, one for every metric (empty where the variant was refused), ``refused``.  Of
means over a key, before that: the standard deviation of every metric (``METRIC.sd``), the ends of the confidence
interval of the mean (``METRIC.low``, ``METRIC.high``), and ``n``, the number of runs.  After it: what made the table,
as far as that is not varied.
"""

from __future__ import annotations

import io

from gmemsim.reports.views import DataTable, signed, write_rows
from gmemsim.studies.sweep import Sweep, SweepRow


def write(sweep: Sweep) -> str:
    """The sweep as CSV."""
    out = io.StringIO()
    parts = ("sd", "low", "high")
    more = (*(f"{metric}.{part}" for part in parts for metric in sweep.metrics), "n") if sweep.folded else ()
    header = (*(variation.key for variation in sweep.variations), *sweep.metrics, *more, "refused")
    write_rows(out, signed(DataTable(header, (_row(sweep, row) for row in sweep.rows)), sweep.made))
    return out.getvalue()


def _row(sweep: Sweep, row: SweepRow) -> tuple[object, ...]:
    ends = [interval or (None, None) for interval in row.intervals]
    more = (*row.deviations, *(low for low, _ in ends), *(high for _, high in ends), row.runs) if sweep.folded else ()
    return (*row.values, *row.results, *more, row.refused)
