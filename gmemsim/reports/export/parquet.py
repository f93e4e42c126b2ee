# SPDX-License-Identifier: GPL-2.0-or-later
"""The samples and the events of a run as Parquet, for data frames; needs the extra ``parquet``.

:mod:`gmemsim.reports.export.tables` documents the columns.
The schema's metadata ``gmemsim`` is the run's ``provenance`` and seed as JSON.
Integers are int64, estimated times float64, words are strings.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet

from gmemsim.reports.export.tables import TEXTS, TIMES, Columns, events, samples
from gmemsim.reports.views import View


def write(view: View, path: Path) -> None:
    """Write the samples of the run to ``path``."""
    _write(view, samples(view.result), path)


def write_events(view: View, path: Path) -> None:
    """Write the events of the run to ``path``."""
    _write(view, events(view.result), path)


def _write(view: View, columns: Columns, path: Path) -> None:
    fields = [pyarrow.field(name, _kind(name)) for name in columns]
    summary = view.result.summary
    made = json.dumps({**summary.get("provenance", {}), "seed": summary["seed"]})
    schema = pyarrow.schema(fields, metadata={"gmemsim": made})
    pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), path, compression="zstd")


def _kind(name: str) -> pyarrow.DataType:
    if name in TEXTS:
        return pyarrow.string()
    return pyarrow.float64() if name in TIMES else pyarrow.int64()
