# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenario files: schema, loader, workload generators."""

from gmemsim.scenario.format.jsonschema import json_schema
from gmemsim.scenario.format.load import load_scenario, parse_scenario
from gmemsim.scenario.model import Scenario
from gmemsim.scenario.workload import expand_step

__all__ = ["Scenario", "expand_step", "json_schema", "load_scenario", "parse_scenario"]
