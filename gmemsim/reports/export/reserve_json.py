# SPDX-License-Identifier: GPL-2.0-or-later
"""A reserve as one JSON object: a row for every policy and number of pages, with all accounts.

``placement``: where the pages lie that take the most bytes, as ranges of pages of the hugepage (at most the first
:data:`MOST_RANGES`).  ``proved``: whether runs have shown that it is enough and no more than that, if asked.
``closed_forms``: by policy and account, N being the pages.
"""

from __future__ import annotations

import json
from typing import Any

from gmemsim.reports.reserved import forms
from gmemsim.studies.reserve import Reserve, ReserveRow

SCHEMA = 1
"""Version of the object's layout."""

MOST_RANGES = 16


def write(reserve: Reserve) -> str:
    """The object as text."""
    return json.dumps(as_json(reserve), indent=2, allow_nan=False) + "\n"


def as_json(reserve: Reserve) -> dict[str, Any]:
    """The reserve as one object."""
    question = reserve.question
    head: dict[str, Any] = {"schema": SCHEMA, "backing": question.backing, "page_size": question.page_size}
    head |= {"pattern": question.pattern, "scope": question.scope}
    head["mapping"] = question.mapping or question.geometry.default_mapping(question.backing)
    head |= reserve.made
    found: dict[str, dict[str, str]] = {}
    for policy, account, form in forms(reserve):
        found.setdefault(policy, {})[account] = form
    rows = [_row(row) for row in reserve.rows]
    return head | {"complete": not reserve.left, "left": reserve.left, "rows": rows, "closed_forms": found}


def _row(row: ReserveRow) -> dict[str, Any]:
    head = {"policy": row.policy, "pages": row.pages} | dict(row.objects)
    proved = {} if row.proved is None else {"proved": row.proved}
    return head | {"bytes": row.bytes, "placement": [list(place) for place in row.placement[:MOST_RANGES]]} | proved
