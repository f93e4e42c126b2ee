# SPDX-License-Identifier: GPL-2.0-or-later
"""The samples and the events of a run as CSV: a header, then one line each, compressed if a name says so.

:mod:`gmemsim.reports.export.tables` documents the columns.
"""

from __future__ import annotations

from pathlib import Path

from gmemsim.reports.export.packing import open_text
from gmemsim.reports.export.tables import Columns, events, samples
from gmemsim.reports.views import DataTable, View, write_rows


def write(view: View, path: Path) -> None:
    """Write the samples of the run to ``path``."""
    _write(samples(view.result), path)


def write_events(view: View, path: Path) -> None:
    """Write the events of the run to ``path``."""
    _write(events(view.result), path)


def write_provenance(view: View, path: Path) -> None:
    """Write what made the run to ``path``: a line a fact, as the summary's ``provenance`` has them, and the seed."""
    summary = view.result.summary
    made = {**summary.get("provenance", {}), "seed": summary["seed"]}
    with open_text(path) as out:
        write_rows(out, DataTable(("fact", "value"), [(name, _fact(value)) for name, value in made.items()]))


def _fact(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _write(columns: Columns, path: Path) -> None:
    with open_text(path) as out:
        write_rows(out, DataTable(tuple(columns), zip(*columns.values(), strict=True)))
