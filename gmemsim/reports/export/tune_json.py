# SPDX-License-Identifier: GPL-2.0-or-later
"""A tuning as one JSON object.

``best`` and ``policy`` in the rows of ``front`` and ``named`` are text that ``--policy`` takes; beside it each metric
with its value (bytes, ns) and ``failed``, calls that failed for want of memory.  ``evaluated``: runs; ``pruned``:
policies left out by proof; ``open``: ladders that the bounds leave open; ``tried``: runs of what no bound covers;
``slack``: bytes within which a peak is proved.
"""

from __future__ import annotations

import json
from typing import Any

from gmemsim.reports.tuned import text_of
from gmemsim.studies.trials import Measured
from gmemsim.studies.tune import Tuning

SCHEMA = 1
"""Version of the object's layout."""


def write(tuning: Tuning) -> str:
    """The object as text."""
    return json.dumps(as_json(tuning), indent=2, allow_nan=False) + "\n"


def as_json(tuning: Tuning) -> dict[str, Any]:
    """The tuning as one object."""
    told: dict[str, Any] = {"schema": SCHEMA, "title": tuning.scenario.title, "minimize": tuning.minimize}
    told["subject_to"] = [{"metric": each.metric, "most": each.most} for each in tuning.subject_to]
    told |= {"scenario": tuning.scenario.sha256, **tuning.made}
    told["best"] = None if tuning.best is None else text_of(tuning.best)
    told["front"] = [_row(found) for found in tuning.front]
    told["named"] = {name: _row(found) for name, found in tuning.named.items()}
    told |= {"evaluated": tuning.evaluated, "pruned": tuning.pruned, "open": tuning.open, "tried": tuning.tried}
    told |= {"proved": {"best": tuning.best_is_proved, "front": tuning.proved}, "slack": tuning.slack}
    return told | {"notes": list(tuning.notes), "complete": tuning.complete, "left": tuning.left}


def _row(found: Measured) -> dict[str, Any]:
    refused = {"refused": found.refused} if found.refused else {}
    return {"policy": text_of(found), **found.values, "failed": found.failed, **refused}
