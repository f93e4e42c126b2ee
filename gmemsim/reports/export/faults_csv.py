# SPDX-License-Identifier: GPL-2.0-or-later
"""What failing allocations leave, as CSV: a line for every policy, ordering, outcome, account, step and call.

After that, in every line, stands what made it.
"""

from __future__ import annotations

import io

import attrs

from gmemsim.reports.views import DataTable, signed, write_rows
from gmemsim.studies.faults import Faults, Row


def write(faults: Faults) -> str:
    """The outcomes as CSV."""
    out = io.StringIO()
    header = [field.name for field in attrs.fields(Row)]
    write_rows(out, signed(DataTable(header, (attrs.astuple(row) for row in faults.rows)), faults.made))
    return out.getvalue()
