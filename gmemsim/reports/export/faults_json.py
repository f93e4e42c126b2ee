# SPDX-License-Identifier: GPL-2.0-or-later
"""What failing allocations leave, as one JSON object.

``points`` are the failures covered, those that are equal to others included; ``broken`` those after which an invariant
did not hold.  ``outcomes`` has a line for every kind, account, step and call; ``place`` is the step's index in the
workload.  ``complete`` and ``left`` say whether all was covered, ``carried_out`` how many were run; ``sample_of`` is
there if this is a sample, ``refused`` if a variant cannot be, ``broken_points`` if an invariant broke.
"""

from __future__ import annotations

import json
from typing import Any

import attrs

from gmemsim.studies.faults import Faults, Row

SCHEMA = 1
"""Version of the object's layout."""


def write(faults: Faults) -> str:
    """The object as text."""
    return json.dumps(as_json(faults), indent=2, allow_nan=False) + "\n"


def as_json(faults: Faults) -> dict[str, Any]:
    """The outcomes as one object."""
    head: dict[str, Any] = {"schema": SCHEMA, "title": faults.title, "points": faults.points}
    head |= {"broken": faults.broken_points, "carried_out": faults.carried_out}
    head |= faults.made
    head |= {"complete": faults.complete, "left": faults.left, "to_end": faults.to_end}
    if faults.sample_of is not None:
        head["sample_of"] = faults.sample_of
    if faults.refused:
        head["refused"] = list(faults.refused)
    if faults.broken:
        head["broken_points"] = [_given(attrs.asdict(broken)) for broken in faults.broken]
    return head | {"outcomes": [_line(row) for row in faults.rows]}


def _line(row: Row) -> dict[str, Any]:
    return _given(attrs.asdict(row))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Without a policy where none was given."""
    return {key: value for key, value in values.items() if key != "policy" or value is not None}
