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
from gmemsim.scenario.model import VERSION, GuestSpec, HostSpec, Step, step_keys
from gmemsim.scenario.workload import Composite
from gmemsim.units import exact_duration, size_name

Json = dict[str, Any]


def json_schema() -> Json:
    """The schema, draft 2020-12, as an object ready for ``json.dumps``."""
    root = _object(ROOT)
    root["properties"] |= {
        "gmemsim": {"const": VERSION, "title": "gmemsim", "description": ROOT["gmemsim"].kind.doc},
        "guests": _list("guests", _object(table(GuestSpec)), least=1),
        "workload": _list("workload", {"oneOf": [_step(step) for step in step_types().values()]}),
        "expect": _list("expect", _expectation()) | {"default": []},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:gmemsim:scenario:{VERSION}",
        "title": "gmemsim scenario",
        **root,
        "$defs": {part.key: _step(part, part=True) for step in COMPOSITES.rows() for part in parts_of(step).values()},
    }


def _list(key: str, item: Json, least: int = 0) -> Json:
    return {"title": key, "type": "array", "items": item, "minItems": least, "description": ROOT[key].kind.doc}


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
            key: {"title": key, "description": entry.kind.doc, "type": "array", "items": parts, "minItems": 1}
            for key, entry in entries.items()
            if isinstance(entry.kind, Inner)
        }
    summary = (step.__doc__ or "").partition("\n")[0]
    return {
        "type": "object",
        "description": summary,
        "properties": {step.key: {"title": step.key, "description": summary} | keys},
        "required": [step.key],
        "additionalProperties": False,
    }


def _expectation() -> Json:
    """An expectation has exactly one operator; ``rel`` goes with ``approx``."""
    operators = [{"required": [operator]} for operator in OPERATORS]
    together = {"approx": ["rel"], "rel": ["approx"]}
    return {**_object(EXPECT), "oneOf": operators, "dependentRequired": together}


def _known(entry: Entry) -> Json:
    """The key's name as a title, and its default as a file would have it.

    A key whose default is no value that a file can have says in its description what is so if it is absent.
    """
    default = None if entry.required else _in_a_file(entry.kind, entry.absent())
    return {"title": entry.key.replace("_", " ")} | ({} if default is None else {"default": default})


def _in_a_file(kind: Kind, value: Any) -> Any:
    """The default ``value`` of a key of this ``kind`` as a file would have it; ``None`` where it is only absence."""
    match kind, value:
        case Size(unlimited=True), None:
            return "unlimited"
        case Record(of=of), None if of is HostSpec:
            return {}
        case _, None:
            return None
        case Size() | Duration(), 0:
            return 0
        case Size(), int(size):
            return size_name(size)
        case Duration(), int(duration):
            return exact_duration(duration)
        case _, Policy():
            return value.as_file()
        case _, tuple():
            return list(value)
        case _:
            return value


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
                "properties": {name: _price(kind, name) for name in kind.counter.values},
                "additionalProperties": False,
            }
        case PolicyRule():
            number, name = kind.number.json(), kind.parameter.name
            told = {"title": name, "description": kind.parameter.words}
            if not kind.parameter.many:
                return {"anyOf": [kind.names.json(), _only(name, told | number)]}
            numbers = {"type": "array", "items": number, "minItems": 2}
            named = _only(name, told | numbers)
            if kind.also:
                also = kind.parameter.also
                told = {"title": also, "description": f"{also} for each of them; that of the policy if absent"}
                named["properties"][also] = told | {"type": "array", "items": {"enum": list(kind.also)}}
            return {"anyOf": [kind.names.json(), numbers, named]}
        case _:
            return {}


def _price(kind: Prices, counter: str) -> Json:
    told = {"title": counter.replace("_", " "), "description": f"{kind.price.doc}; the profile's price if absent"}
    return told | kind.price.json()


def _only(key: str, value: Json) -> Json:
    return {"type": "object", "properties": {key: value}, "required": [key], "additionalProperties": False}
