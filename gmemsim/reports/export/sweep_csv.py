# SPDX-License-Identifier: GPL-2.0-or-later
"""A sweep as CSV for a spreadsheet: a line for every variant.

Columns: one for every key that is varied, one for every metric (empty where the variant was refused), ``refused``.
"""

from __future__ import annotations

import io

from gmemsim.reports.views import DataTable, write_rows
from gmemsim.studies.sweep import Sweep


def write(sweep: Sweep) -> str:
    """The sweep as CSV."""
    out = io.StringIO()
    header = (*(variation.key for variation in sweep.variations), *sweep.metrics, "refused")
    write_rows(out, DataTable(header, ((*row.values, *row.results, row.refused) for row in sweep.rows)))
    return out.getvalue()
