# SPDX-License-Identifier: GPL-2.0-or-later
"""A reserve as CSV: a line for every policy and number of pages, with objects by account, and bytes."""

from __future__ import annotations

import io

from gmemsim.host.accounts import ACCOUNTS
from gmemsim.reports.views import DataTable, write_rows
from gmemsim.studies.reserve import Reserve


def write(reserve: Reserve) -> str:
    """The reserve as CSV."""
    out = io.StringIO()
    rows = ((row.policy, row.pages, *row.objects.values(), row.bytes) for row in reserve.rows)
    write_rows(out, DataTable(("policy", "pages", *ACCOUNTS, "bytes"), rows))
    return out.getvalue()
