# SPDX-License-Identifier: GPL-2.0-or-later
"""Policies in files: every combination is a policy or a fault with a place, and a rule that is added works at once."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from gmemsim.errors import InputError
from gmemsim.gmem.policy import KEYS, Policy
from gmemsim.gmem.presets import read_policy
from gmemsim.gmem.rules import SPLITS, Ladder, SplitRule
from gmemsim.host.geometry import Geometry
from gmemsim.scenario import json_schema, parse_scenario
from gmemsim.studies.sweep import Plan, Variation

TEMPLATE = """\
gmemsim: 1
host: {{hugetlb: {{1G: 1}}}}
guests:
  - {{name: vm, memory: 1G, backing: 1G,
     policy: {}}}
workload: []
"""


SOUND = TEMPLATE.format("{}")


def policy(text: str) -> Policy:
    """The policy that ``text`` describes in a file."""
    return parse_scenario(TEMPLATE.format(text), source="p.yaml").guests[0].policy


ORDERED = ("split", "when", "ordering", "generation", "on_split_failure")
"""The keys whose values may exclude each other: every combination of these; the others take their values in turn."""

LADDERS: list[Any] = [
    {"ladder": [18, 9, 0]},
    {"ladder": [18, 9, 0], "when": ["conversion", "fault"]},
    {"ladder": [18, 9, 0], "when": ["fault", "fault"]},
]


def combinations() -> Iterator[dict[str, Any]]:
    """Combinations of every value of every key as a file writes it, each key absent or given."""
    parameters: dict[str, list[Any]] = {"split": LADDERS, "merge": [{"hysteresis": 2}]}
    choices = {key.name: [None, *key.rules.names(), *parameters.get(key.name, [])] for key in KEYS.values()}
    others = itertools.cycle(itertools.product(*(choices[key] for key in KEYS if key not in ORDERED)))
    for values, more in zip(itertools.product(*(choices[key] for key in ORDERED)), others, strict=False):
        given = dict(zip((*ORDERED, *(key for key in KEYS if key not in ORDERED)), (*values, *more), strict=True))
        yield {key: given[key] for key in KEYS if given[key] is not None}


def excluded(values: dict[str, Any]) -> str | None:
    """What Python says of the values of a file; ``None`` if they make a policy."""
    try:
        Policy(**{name: _value(name, value) for name, value in values.items()})
    except ValueError as error:
        return str(error)
    return None


def through_other_doors(values: dict[str, Any]) -> str:
    """What the command line says of them: ``--policy`` and ``--vary``."""
    text = ",".join(f"{name}:{KEYS[name].as_text(_value(name, value))}" for name, value in values.items())
    with pytest.raises(ValueError, match=r".") as caught:
        read_policy(f"x={text}")
    with pytest.raises(InputError) as varied:
        Plan(SOUND, "p.yaml", [Variation("policy", (f"x={text}",))]).check()
    (fault,) = varied.value.faults
    assert str(caught.value) in fault.message
    return str(caught.value)


def _value(name: str, value: Any) -> Any:
    form = KEYS[name].parameter
    if isinstance(value, dict) and form is not None:
        return form.from_file(value[form.name], tuple(value.get(form.also, ())))
    return value


def test_every_combination_of_values_is_a_policy_or_a_fault_at_its_place() -> None:
    sound = refused = 0
    for values in combinations():
        try:
            found = policy(json.dumps(values))
        except InputError as error:
            refused += 1
            (fault,) = error.faults
            assert (fault.source, fault.line, fault.column) == ("p.yaml", 5, 14)
            assert fault.message.startswith("found settings that exclude each other (")
            assert through_other_doors(values) == excluded(values)
            continue
        sound += 1
        assert excluded(values) is None
        written = found.as_file()
        assert all(written[key] == value for key, value in values.items())
        assert policy(json.dumps(written)) == found
    assert sound > 100
    assert refused > 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{when: fault, ordering: reserve-first}", "reserve-first cannot keep its promise with when: fault"),
        ("{when: fault, ordering: attributes-first}", "attributes-first orders what a conversion splits"),
        ("{when: fault, generation: A}", "attributes-first orders what a conversion splits"),
        ("{when: fault, generation: D}", "split-first orders what a conversion splits"),
        ("{ordering: split-first, generation: A}", "ordering split-first belongs to generation D, found A"),
        ("{ordering: block-abort, generation: D}", "ordering block-abort belongs to generation B, found D"),
        ("{on_split_failure: keep}", "on_split_failure: keep is for ordering split-first, found restructure-first"),
        (
            "{split: {ladder: [18, 9, 0], when: [conversion, fault]}, when: conversion}",
            "the ladder says when each step is split, found when: conversion beside it",
        ),
        (
            "{split: {ladder: [18, 9, 0], when: [conversion, fault]}, ordering: reserve-first}",
            "reserve-first cannot keep its promise with when: fault",
        ),
        ("{ordering: reserve-first, generation: A}", "ordering reserve-first belongs to generation B, found A"),
    ],
)
def test_values_that_exclude_each_other(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        policy(text)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"p.yaml:5:14: found settings that exclude each other ({message}")
    assert line.endswith("), expected a policy that can be carried out")


def test_a_generation_by_itself_names_the_ordering() -> None:
    assert policy("{generation: A}").ordering == "attributes-first"
    assert policy("{generation: B}").ordering == "restructure-first"
    assert policy("{ordering: attributes-first}").generation == "A"


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (
            "{ladder: [18, 9, 0], when: [conversion]}",
            "5:49: found 1 time for the 2 steps of the ladder [18, 9, 0], expected one when for each step",
        ),
        ("{ladder: [18, 9, 0], when: []}", "5:49: found a list, expected one of conversion, fault for each step"),
        ("{ladder: [18, 9, 0], when: [fault, conversion]}", "5:49: found when ['fault', 'conversion'] splits at"),
        ("{ladder: [18, 9, 0], when: [conversion, later]}", "5:62: found 'later', expected one of conversion, fault"),
        ("{ladder: [18, 9, 0], when: fault}", "5:49: found 'fault', expected a list (one of conversion, fault for"),
        ("{when: [fault, fault]}", "5:22: found the keys none, expected the one key 'ladder'"),
        ("{ladder: [18, 9], when: [fault]}", "5:31: found the ladder '[18, 9]', expected decreasing orders down to 0"),
    ],
)
def test_a_wrong_time_for_a_rung(split: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        policy(f"{{split: {split}}}")
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"p.yaml:{message}")


def test_a_ladder_with_times_in_every_form() -> None:
    found = policy("{split: {ladder: [18, 9, 0], when: [conversion, fault]}}")
    assert found == Policy(split=Ladder((18, 9, 0), ("conversion", "fault")))
    assert read_policy("x=split:18-9-0@conversion-fault") == ("x", found)
    assert KEYS["split"].as_text(found.split) == "18-9-0@conversion-fault"
    assert "when" not in found.as_file()
    assert (found.splits_at_conversion, found.splits_at_fault) == (True, True)
    assert found.conversion_rungs(18, Geometry()) == (18, 9)
    assert found != policy("{split: [18, 9, 0]}")
    assert Policy(split=Ladder((18, 9, 0))) == policy("{split: [18, 9, 0]}")


def test_an_unknown_generation_is_a_fault() -> None:
    with pytest.raises(InputError) as caught:
        policy("{generation: C}")
    assert str(caught.value) == "p.yaml:5:27: found 'C', expected one of A, B, D"


class Halves(SplitRule):
    """A rule that only this test knows."""

    def rungs(self, order: int, geometry: Geometry) -> tuple[int, ...]:
        return (order, order // 2, 0)


def test_a_rule_that_is_added_works_in_files_the_schema_and_as_text() -> None:
    jsonschema: Any = pytest.importorskip("jsonschema")
    SPLITS.add("halves", Halves("halves", "in two steps"))
    try:
        assert policy("{split: halves}").rungs(18, Geometry()) == (18, 9, 0)
        assert read_policy("x=split:halves")[1].split == "halves"
        document = {"gmemsim": 1, "workload": []}
        document["guests"] = [{"name": "a", "memory": "1G", "backing": "1G", "policy": {"split": "halves"}}]
        jsonschema.Draft202012Validator(json_schema()).validate(document)
    finally:
        SPLITS.remove("halves")
    with pytest.raises(InputError, match="found 'halves', expected one of uniform, staged, nonuniform"):
        policy("{split: halves}")


def test_the_schema_knows_what_a_parameter_may_be() -> None:
    jsonschema: Any = pytest.importorskip("jsonschema")
    check = jsonschema.Draft202012Validator(json_schema())
    base = {"gmemsim": 1, "workload": []}

    def valid(values: dict[str, Any]) -> bool:
        guest = {"name": "a", "memory": "1G", "backing": "1G", "policy": values}
        return bool(check.is_valid({**base, "guests": [guest]}))

    assert valid({"split": {"ladder": [18, 0]}})
    assert valid({"split": [18, 0], "merge": {"hysteresis": 1}, "generation": "A"})
    assert valid({"split": {"ladder": [18, 9, 0], "when": ["conversion", "fault"]}, "generation": "D"})
    assert not valid({"split": {"ladder": [18, 9, 0], "when": ["later"]}})
    assert not valid({"split": {"when": ["fault"]}})
    assert not valid({"split": {"ladder": [18]}})
    assert not valid({"split": [64, 0]})
    assert not valid({"merge": [1, 2]})
    assert not valid({"generation": "C"})
