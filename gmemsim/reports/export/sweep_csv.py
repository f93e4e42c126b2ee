# SPDX-License-Identifier: GPL-2.0-or-later
"""A sweep as CSV for a spreadsheet: a line for every variant.

Columns: one for every key that is varied, one for every metric (empty where the variant was refused), ``refused``.  Of
means over a key, before that: the standard deviation of every metric (``METRIC.sd``), the ends of the confidence
interval of the mean (``METRIC.low``, ``METRIC.high``), and ``n``, the number of runs.  After it: what made the row, as
far as that is not varied; of a mean, what made the table.
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
    table = DataTable(header, (_row(sweep, row) for row in sweep.rows))
    write_rows(out, signed(table, sweep.made, map(_made, sweep.rows)))
    return out.getvalue()


def _made(row: SweepRow) -> dict[str, str]:
    """What made the row where that may be another than the table's."""
    _, generation, costs = row.made or (None, None, None)
    return {"costs": costs, "generation": " ".join(generation)} if costs and generation else {}


def _row(sweep: Sweep, row: SweepRow) -> tuple[object, ...]:
    ends = [interval or (None, None) for interval in row.intervals]
    more = (*row.deviations, *(low for low, _ in ends), *(high for _, high in ends), row.runs) if sweep.folded else ()
    return (*row.values, *row.results, *more, row.refused)
