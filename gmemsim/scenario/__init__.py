"""Scenario files: schema, loader, workload generators."""

from gmemsim.scenario.jsonschema import json_schema
from gmemsim.scenario.load import load_scenario, parse_scenario
from gmemsim.scenario.schema import Scenario
from gmemsim.scenario.workload import expand_step

__all__ = ["Scenario", "expand_step", "json_schema", "load_scenario", "parse_scenario"]
