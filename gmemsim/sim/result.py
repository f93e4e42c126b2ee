# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run leaves, as one value.

What may live here: that value only.  The run that makes it (:mod:`gmemsim.sim.run`) may be compiled, as attrs classes
may not.
"""

from __future__ import annotations

from typing import Any

import attrs

from gmemsim.results.page import as_html, outcome
from gmemsim.results.timeline import Timeline
from gmemsim.scenario.model import Scenario


@attrs.frozen(repr=False)
class Result:
    """What a run of ``scenario`` leaves: its ``timeline``, and its ``summary`` (the object that ``--json`` prints)."""

    scenario: Scenario
    timeline: Timeline
    summary: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether every expectation holds."""
        return all(verdict["ok"] for verdict in self.summary["expect"])

    def __repr__(self) -> str:
        return f"<Result {self.scenario.title!r}: {outcome(self.summary)}>"

    def _repr_html_(self) -> str:
        return as_html(self.summary)
