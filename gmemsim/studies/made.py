# SPDX-License-Identifier: GPL-2.0-or-later
"""What made the answer of a study: the same facts that a run's summary has, of the scenario that was asked about.

What may live here: how they are put together from scenarios and policies.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gmemsim.gmem.policy import Policy
from gmemsim.results.provenance import provenance
from gmemsim.scenario.model import Scenario


def made_of(scenario: Scenario, policies: Iterable[Policy | None] = ()) -> dict[str, Any]:
    """``seed`` and ``provenance`` of what ``scenario`` gives with ``policies`` (default, and ``None``: its own)."""
    wanted = list(policies) or [None]
    own = {guest.policy.generation for guest in scenario.guests} if None in wanted else set()
    generations = own | {policy.generation for policy in wanted if policy is not None}
    made = provenance(scenario.sha256, scenario.settings, generations, scenario.host.profile.name)
    return {"seed": scenario.seed, "provenance": made}


def made_without_scenario(policies: Iterable[Policy]) -> dict[str, Any]:
    """``provenance`` of what ``policies`` give where there is no scenario, and so no seed and no prices."""
    made = provenance(None, (), {policy.generation for policy in policies}, None)
    return {"provenance": {name: value for name, value in made.items() if value is not None}}
