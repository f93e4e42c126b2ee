# SPDX-License-Identifier: GPL-2.0-or-later
"""A sweep as one JSON object: the values and the metrics of every variant.

``seed`` and ``provenance`` say what made it, keys that are varied aside.  Of means over a key: ``mean_over`` is that
key with its values; every row has ``sd``, the standard deviation of every metric, ``interval``, the confidence interval
of every mean (both ``null`` of a single run), and ``n``, the number of runs; ``interval`` at the top says which
interval that is.
"""

from __future__ import annotations

import json
from typing import Any

from gmemsim.studies.gather import CONFIDENCE
from gmemsim.studies.sweep import Sweep

SCHEMA = 1
"""Version of the object's layout."""


def write(sweep: Sweep) -> str:
    """The object as text."""
    return json.dumps(as_json(sweep), indent=2, allow_nan=False) + "\n"


def as_json(sweep: Sweep) -> dict[str, Any]:
    """The sweep as one object."""
    keys = [variation.key for variation in sweep.variations]
    rows = []
    for row in sweep.rows:
        told: dict[str, Any] = {"values": dict(zip(keys, row.values, strict=True))}
        told["metrics"] = dict(zip(sweep.metrics, row.results, strict=True))
        if sweep.folded:
            told |= {"sd": dict(zip(sweep.metrics, row.deviations, strict=True))}
            told |= {"interval": dict(zip(sweep.metrics, row.intervals, strict=True)), "n": row.runs}
        rows.append(told | ({"refused": row.refused} if row.refused else {}))
    head: dict[str, Any] = {"schema": SCHEMA, "title": sweep.title} | ({"partial": True} if sweep.partial else {})
    head |= sweep.made
    if sweep.folded:
        head["mean_over"] = {"key": sweep.folded.key, "values": sweep.folded.values}
        head["interval"] = {"of": "mean", "kind": "student-t", "confidence": CONFIDENCE}
    return head | {"rows": rows}
