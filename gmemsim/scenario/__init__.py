# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenario files: schema, loader, workload generators.  Each name is imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gmemsim.scenario.format.jsonschema import json_schema
    from gmemsim.scenario.format.load import load_scenario, parse_scenario
    from gmemsim.scenario.model import Scenario
    from gmemsim.scenario.workload import expand_step

__all__ = ["Scenario", "expand_step", "json_schema", "load_scenario", "parse_scenario"]

_HOMES = {
    "Scenario": "gmemsim.scenario.model",
    "expand_step": "gmemsim.scenario.workload",
    "json_schema": "gmemsim.scenario.format.jsonschema",
    "load_scenario": "gmemsim.scenario.format.load",
    "parse_scenario": "gmemsim.scenario.format.load",
}
"""Where each name comes from."""


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
