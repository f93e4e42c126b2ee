# SPDX-License-Identifier: GPL-2.0-or-later
"""A budget as one JSON object.

Each of ``rows`` has ``policy`` (as ``--policy`` takes it), ``guests`` (copies; with ``host``, how many fit), ``bytes``
of kernel memory with ``low`` and ``high`` (``null``: too few seeds, ``seeds_needed`` says how many it takes) and
``quantile``.  Of the run that needs so much: ``accounts`` at its peak in bytes, ``account`` with the most,
``slab_bytes``, ``at_ns`` and ``call``.  With a host: ``uses`` of its memory in bytes, ``pamt`` of which is an
estimate, and ``short``, what one copy more lacks.  ``complete`` and ``left`` say whether runs have not been made.
"""

from __future__ import annotations

import json
from typing import Any

from gmemsim.reports.words import describe
from gmemsim.studies.budget import Budget, BudgetRow
from gmemsim.studies.quantiles import CONFIDENCE

SCHEMA = 1
"""Version of the object's layout."""


def write(budget: Budget) -> str:
    """The object as text."""
    return json.dumps(as_json(budget), indent=2, allow_nan=False) + "\n"


def as_json(budget: Budget) -> dict[str, Any]:
    """The budget as one object."""
    question, host = budget.question, budget.host
    head: dict[str, Any] = {"schema": SCHEMA, "title": question.scenario.title, "for_each": question.only}
    head |= {"stagger_ns": question.stagger, "random": budget.random, "confidence": CONFIDENCE}
    head |= {"scenario": question.scenario.sha256, **budget.made}
    head |= {"host": None if host is None else {"memory": host.memory, "other": host.other}}
    head |= {"complete": budget.complete, "left": budget.left}
    return head | {"rows": [_row(budget, row) for row in budget.rows]}


def _row(budget: Budget, row: BudgetRow) -> dict[str, Any]:
    told: dict[str, Any] = {"policy": row.policy, "guests": row.guests, "instances": row.instances}
    told |= {"bytes": row.bytes, "low": row.low, "high": row.high, "quantile": row.quantile, "seeds": row.seeds}
    told |= {"seeds_needed": budget.needed if budget.random else 1}
    if (need := row.need) is not None:
        told |= {"slab_bytes": need.slabs, "account": need.account, "accounts": dict(need.accounts)}
        told |= {"at_ns": need.at_ns, "call": None if need.call is None else describe(need.call)}
    if budget.host is not None:
        told |= {"uses": None if row.uses is None else dict(row.uses), "short": row.short}
    return told | ({"refused": row.refused} if row.refused else {})
