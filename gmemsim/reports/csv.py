"""The samples of a run as CSV: a header, then one line a sample.

Columns: ``time_ns`` (simulated time, nanoseconds), every account and ``total`` (bytes held from then on, until the next
line), ``folios.ORDER`` (count).  Events do not fit into columns; :mod:`gmemsim.reports.jsonl` has both.
"""

from __future__ import annotations

import csv
from pathlib import Path

from gmemsim.reports import Reportable


def write(result: Reportable, path: Path) -> None:
    """Write the samples of ``result`` to ``path``."""
    columns = result.timeline.columns()
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
