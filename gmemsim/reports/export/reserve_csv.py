# SPDX-License-Identifier: GPL-2.0-or-later
"""A reserve as CSV: a line for every policy and number of pages, with objects by account, bytes, and what made it."""

from __future__ import annotations

import io

from gmemsim.host.accounts import ACCOUNTS
from gmemsim.reports.views import DataTable, signed, write_rows
from gmemsim.studies.reserve import Reserve


def write(reserve: Reserve) -> str:
    """The reserve as CSV."""
    out = io.StringIO()
    rows = ((row.policy, row.pages, *row.objects.values(), row.bytes) for row in reserve.rows)
    write_rows(out, signed(DataTable(("policy", "pages", *ACCOUNTS, "bytes"), rows), reserve.made))
    return out.getvalue()
