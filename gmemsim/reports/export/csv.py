# SPDX-License-Identifier: GPL-2.0-or-later
"""The samples and the events of a run as CSV: a header, then one line each.

:mod:`gmemsim.reports.export.tables` documents the columns.
"""

from __future__ import annotations

from pathlib import Path

from gmemsim.reports import Reportable
from gmemsim.reports.export.tables import Columns, events, samples
from gmemsim.reports.views import Table, write_table


def write(result: Reportable, path: Path) -> None:
    """Write the samples of ``result`` to ``path``."""
    _write(samples(result), path)


def write_events(result: Reportable, path: Path) -> None:
    """Write the events of ``result`` to ``path``."""
    _write(events(result), path)


def _write(columns: Columns, path: Path) -> None:
    write_table(Table(tuple(columns), zip(*columns.values(), strict=True)), path)
