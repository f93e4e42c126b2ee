# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON Schema of scenario files, for editors to complete and check while one is written.

It is derived from the tables that the loader reads by, and says everything about a value by itself.  What takes
more than one value (ranges, alignment, names, times) only the loader checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gmemsim.gmem.policy import Policy
from gmemsim.scenario.format.kinds import (
    OWN_POLICY,
    Duration,
    Entry,
    Inner,
    Kind,
    PolicyRule,
    Pools,
    Prices,
    Record,
    Records,
    Scalar,
    Size,
    table,
)
from gmemsim.scenario.format.load import EXPECT, OPERATORS, ROOT, part_keys, step_types
from gmemsim.scenario.generators import COMPOSITES, parts_of
from gmemsim.scenario.model import VERSION, GuestSpec, Step, step_keys
from gmemsim.scenario.workload import Composite
from gmemsim.units import exact_duration, size_name

Json = dict[str, Any]


def json_schema() -> Json:
    """The schema, draft 2020-12, as an object ready for ``json.dumps``."""
    root = _object(ROOT)
    root["properties"] |= {
        "gmemsim": {"const": VERSION, "description": ROOT["gmemsim"].kind.doc},
        "guests": _list("guests", _object(table(GuestSpec)), least=1),
        "workload": _list("workload", {"oneOf": [_step(step) for step in step_types().values()]}),
        "expect": _list("expect", _expectation()),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:gmemsim:scenario:{VERSION}",
        "title": "gmemsim scenario",
        **root,
        "$defs": {part.key: _step(part, part=True) for step in COMPOSITES.rows() for part in parts_of(step).values()},
    }


def _list(key: str, item: Json, least: int = 0) -> Json:
    return {"type": "array", "items": item, "minItems": least, "description": ROOT[key].kind.doc}


def _object(entries: Mapping[str, Entry]) -> Json:
    return {
        "type": "object",
        "properties": {key: _value(entry.kind) | _known(entry) for key, entry in entries.items()},
        "required": [key for key, entry in entries.items() if entry.required],
        "additionalProperties": False,
    }


def _step(step: type[Step], *, part: bool = False) -> Json:
    """One step; ``part``: of a composite one, which refers to these as ``$defs``."""
    entries = part_keys(step) if part else step_keys(step)
    keys = _object(entries)
    if issubclass(step, Composite):
        parts = {"oneOf": [{"$ref": f"#/$defs/{part.key}"} for part in parts_of(step).values()]}
        keys["properties"] |= {
            key: {"description": entry.kind.doc, "type": "array", "items": parts, "minItems": 1}
            for key, entry in entries.items()
            if isinstance(entry.kind, Inner)
        }
    summary = (step.__doc__ or "").partition("\n")[0]
    return {
        "type": "object",
        "description": summary,
        "properties": {step.key: keys},
        "required": [step.key],
        "additionalProperties": False,
    }


def _expectation() -> Json:
    """An expectation has exactly one operator; ``rel`` goes with ``approx``."""
    operators = [{"required": [operator]} for operator in OPERATORS]
    together = {"approx": ["rel"], "rel": ["approx"]}
    return {**_object(EXPECT), "oneOf": operators, "dependentRequired": together}


def _known(entry: Entry) -> Json:
    """The key's name as a title, and its default as a file would have it, where it is one value."""
    title = {"title": entry.key.replace("_", " ")}
    match entry.kind, entry.default:
        case _, None:
            return title
        case Size() | Duration(), 0:
            return title | {"default": 0}
        case Size(), int(size):
            return title | {"default": size_name(size)}
        case Duration(), int(duration):
            return title | {"default": exact_duration(duration)}
        case Scalar() | PolicyRule(), str() | bool() | int() | float():
            return title | {"default": entry.default}
        case _:
            return title


def _value(kind: Kind) -> Json:
    return {"description": kind.doc, **_shape(kind)}


def _shape(kind: Kind) -> Json:
    match kind:
        case Scalar():
            return kind.json()
        case Record() if kind.of is Policy:
            return {"anyOf": [_object(table(Policy)), _object(OWN_POLICY)]}
        case Record():
            return _object(table(kind.of))
        case Records():
            return {"type": "array", "items": _object(table(kind.of))}
        case Pools():
            pattern = kind.size.json()["pattern"]
            return {
                "type": "object",
                "patternProperties": {pattern: kind.number.json()},
                "additionalProperties": False,
            }
        case Prices():
            return {
                "type": "object",
                "properties": dict.fromkeys(kind.counter.values, kind.price.json()),
                "additionalProperties": False,
            }
        case PolicyRule():
            number, name = kind.number.json(), kind.parameter.name
            if not kind.parameter.many:
                return {"anyOf": [kind.names.json(), _only(name, number)]}
            numbers = {"type": "array", "items": number, "minItems": 2}
            named = _only(name, numbers)
            if kind.also:
                named["properties"][kind.parameter.also] = {"type": "array", "items": {"enum": list(kind.also)}}
            return {"anyOf": [kind.names.json(), numbers, named]}
        case _:
            return {}


def _only(key: str, value: Json) -> Json:
    return {"type": "object", "properties": {key: value}, "required": [key], "additionalProperties": False}
