# SPDX-License-Identifier: GPL-2.0-or-later
"""What failing allocations leave, as CSV: a line for every policy, ordering, outcome, account, step and call."""

from __future__ import annotations

import io

import attrs

from gmemsim.reports.views import DataTable, write_rows
from gmemsim.studies.faults import Faults, Row


def write(faults: Faults) -> str:
    """The outcomes as CSV."""
    out = io.StringIO()
    header = [field.name for field in attrs.fields(Row)]
    write_rows(out, DataTable(header, (attrs.astuple(row) for row in faults.rows)))
    return out.getvalue()
