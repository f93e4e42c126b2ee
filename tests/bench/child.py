# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures one row once, of the gmemsim that is imported: ``python -P -m tests.bench.child ROW``; prints JSON."""

from __future__ import annotations

import json
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.bench.meter import ROWS, Meter

MODULES = ("rows_tree", "rows_api", "rows_run", "rows_command", "rows_page", "rows_studies")
"""Where the rows are."""


def load_rows() -> None:
    """Fill the table of rows."""
    for module in MODULES:
        import_module(f"tests.bench.{module}")


def measure(name: str, *, quick: bool = False) -> dict[str, Any]:
    """The row's number, with collections of garbage (``value``) and without (``alone``, if it has one)."""
    row = ROWS[name]
    found: dict[str, Any] = {}
    for key, collecting in (("value", True), ("alone", False)):
        if collecting or row.collections:
            with tempfile.TemporaryDirectory() as folder:
                found[key] = row.measure(Meter(folder=Path(folder), collecting=collecting, quick=quick))
    return found


def is_compiled() -> bool:
    """Whether the compiled form was the one that ran."""
    try:
        return bool(import_module("gmemsim.compiled").active())
    except ImportError:
        return False


if __name__ == "__main__":
    load_rows()
    sys.stdout.write(json.dumps(measure(sys.argv[1]) | {"compiled": is_compiled()}))
