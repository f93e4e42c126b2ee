# SPDX-License-Identifier: GPL-2.0-or-later
"""A comparison as one JSON object: its rows, and the whole summary of every result by name."""

from __future__ import annotations

import json
from typing import Any

from gmemsim.studies.compare import Comparison, ComparisonRow

SCHEMA = 1
"""Version of the object's layout."""


def write(comparison: Comparison) -> str:
    """The object as text."""
    return json.dumps(as_json(comparison), indent=2, allow_nan=False) + "\n"


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as one object: the rows, and the whole summary of every result by name."""
    head = {"schema": SCHEMA, "title": comparison.title, "compared": comparison.what, "reference": comparison.names[0]}
    partial = {"partial": True} if comparison.partial else {}
    notes = {"notes": list(comparison.notes)} if comparison.notes else {}
    return (
        head
        | partial
        | notes
        | {"rows": [_json_row(comparison, row) for row in comparison.rows]}
        | _costs(comparison)
        | {"summaries": {name: result.summary for name, result in comparison.results.items()}}
    )


def _costs(comparison: Comparison) -> dict[str, Any]:
    """In which order each cost profile puts the results, and whether that is the same; if profiles were asked for."""
    if not comparison.costs:
        return {}
    orders = comparison.orders
    return {"costs": {"orders": orders, "same_order": len(set(orders.values())) <= 1}}


def _json_row(comparison: Comparison, row: ComparisonRow) -> dict[str, Any]:
    def by_name(values: tuple[Any, ...]) -> dict[str, Any]:
        return dict(zip(comparison.names, values, strict=True))

    head = {"metric": row.metric, "unit": row.unit, "estimate": row.estimate}
    return head | {"values": by_name(row.values), "deltas": by_name(row.deltas), "ratios": by_name(row.ratios)}
