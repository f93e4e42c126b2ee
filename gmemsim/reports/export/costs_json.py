# SPDX-License-Identifier: GPL-2.0-or-later
"""Cost profiles as one JSON object: what ``gmemsim costs --json`` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gmemsim.host.costs import CostProfile, Price
from gmemsim.host.work import PHASES

SCHEMA = 1
"""Version of the object's layout."""


def write(profiles: Sequence[CostProfile]) -> str:
    """The object as text."""
    return json.dumps({"schema": SCHEMA, "profiles": [_profile(profile) for profile in profiles]}, indent=2) + "\n"


def _profile(profile: CostProfile) -> dict[str, Any]:
    prices = {counter: {"phase": phase, **_price(profile.figures[counter])} for counter, phase in PHASES.items()}
    left_out = {"leaves_out": profile.leaves_out} if profile.leaves_out else {}
    return {"name": profile.name, "description": profile.description, **left_out, "prices": prices}


def _price(price: Price) -> dict[str, Any]:
    """The price of one in ns, ``null`` if it is not priced; its band, and where it is from."""
    if price.ns is None:
        return {"ns": None, "source": price.source}
    band = {"at_least": price.ns / price.within, "at_most": price.ns * price.within}
    return {"ns": price.ns, **band, "extrapolated": price.extrapolated, "source": price.source}
