# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON Schema accepts what the loader accepts, and refuses what editors should underline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gmemsim.errors import InputError
from gmemsim.scenario import json_schema, parse_scenario
from gmemsim.scenario.format.load import step_types
from gmemsim.scenario.model import step_keys
from tests.scenario.test_fuzz import VALID, mutated

jsonschema: Any = pytest.importorskip("jsonschema")
BASE = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # the parser that the loader uses
STEP_TYPES = step_types()
SCHEMA = json_schema()
CHECK = jsonschema.Draft202012Validator(SCHEMA)


def test_it_is_a_schema_and_is_json() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("text", VALID)
def test_scenarios_are_valid(text: bytes) -> None:
    CHECK.validate(yaml.safe_load(text))


def test_every_step_and_key_is_described() -> None:
    steps = {next(iter(s["properties"])): s for s in SCHEMA["properties"]["workload"]["items"]["oneOf"]}
    assert set(steps) == set(STEP_TYPES)
    for name, step in steps.items():
        assert step["description"]
        keys = step["properties"][name]["properties"]
        assert set(keys) == set(step_keys(STEP_TYPES[name]))
        assert all(value["description"] for value in keys.values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"titel": "x"},
        {"gmemsim": 2},
        {"host": {"page_size": "8K"}},
        {"host": {"hugetlb": {"1": 3}}},
        {"guests": []},
        {"guests": [{"name": "a", "memory": 4096, "backing": "4K"}]},
        {"guests": [{"name": "a", "memory": "4K"}]},
        {"guests": [{"name": "a", "memory": "4K", "backing": "4K", "policy": {"split": "stagd"}}]},
        {"guests": [{"name": "a", "memory": "4K", "backing": "4K", "policy": {"merge": {"hysteresis": 0}}}]},
        {"workload": [{"convert": {"guest": "a", "offset": 0, "size": "4K", "to": "shard"}}]},
        {"workload": [{"convert": {"guest": "a"}, "close": {"guest": "a"}}]},
        {"expect": [{"metric": "a.b"}]},
        {"expect": [{"metric": "a.b", "eq": 1, "le": 2}]},
        {"expect": [{"metric": "a.b", "approx": 1}]},
    ],
)
def test_what_it_refuses(wrong: dict[str, Any]) -> None:
    base = {"gmemsim": 1, "guests": [{"name": "a", "memory": "4K", "backing": "4K"}], "workload": []}
    CHECK.validate(base)
    assert not CHECK.is_valid(base | wrong)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_what_the_loader_accepts_is_valid(data: st.DataObject) -> None:
    text = data.draw(mutated())
    try:
        parse_scenario(text)
    except InputError:
        return
    plain = yaml.load(text, Loader=BASE)
    CHECK.validate(_resolved(plain))


def _resolved(node: Any) -> Any:
    """``node``, all text, with what an editor takes for numbers and truth values as such (YAML 1.2)."""
    if isinstance(node, dict):
        return {key: _resolved(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_resolved(value) for value in node]
    try:
        return json.loads(node)
    except ValueError:
        return node


def described(schema: Any) -> Iterator[tuple[str, Any, bool]]:
    """Every key of every object below ``schema``, with its schema and whether a file must have it."""
    if isinstance(schema, dict):
        for key, value in schema.get("properties", {}).items():
            yield key, value, key in schema.get("required", ())
        for value in schema.values():
            yield from described(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from described(value)


def test_the_schema_has_an_id_and_defaults_are_valid() -> None:
    assert SCHEMA["$id"] == "urn:gmemsim:scenario:1"
    found = {}
    for key, value, _ in described(SCHEMA):
        if isinstance(value, dict) and "default" in value:
            jsonschema.Draft202012Validator(value | {"$defs": SCHEMA["$defs"]}).validate(value["default"])
            found[key] = value["default"]
    assert (found["page_size"], found["rcu_grace"], found["vcpus"], found["merge"]) == ("4K", "10ms", 16, "eager")
    assert (found["hugetlb"], found["kernel_memory"], found["host"], found["expect"]) == ({}, "unlimited", {}, [])


def test_every_key_has_a_title_and_words_and_a_default_or_says_what_is_so_without_it() -> None:
    lacking = [
        (key, value)
        for key, value, required in described(SCHEMA)
        if isinstance(value, dict)
        and not (
            value.get("title")
            and value.get("description")
            and (required or "default" in value or "absent" in value["description"])
        )
    ]
    assert lacking == []


def test_a_default_of_the_schema_is_what_the_loader_takes_for_an_absent_key() -> None:
    bare = "gmemsim: 1\nguests: [{name: a, memory: 4K, backing: 4K%s}]\nworkload: []\n%s"
    host, guest = SCHEMA["properties"]["host"]["properties"], SCHEMA["properties"]["guests"]["items"]["properties"]
    given = [f"host: {json.dumps({key: value['default'] for key, value in host.items() if 'default' in value})}\n"]
    extra = "".join(f", {key}: {json.dumps(value['default'])}" for key, value in guest.items() if "default" in value)
    assert parse_scenario(bare % (extra, given[0])) == parse_scenario(bare % ("", ""))
