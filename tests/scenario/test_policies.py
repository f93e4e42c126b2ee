# SPDX-License-Identifier: GPL-2.0-or-later
"""Policies in files: every combination is a policy or a fault with a place, and a rule that is added works at once."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from gmemsim.errors import InputError
from gmemsim.geometry import Geometry
from gmemsim.gmem.policy import KEYS, Policy
from gmemsim.gmem.presets import read_policy
from gmemsim.gmem.rules import SPLITS, SplitRule
from gmemsim.scenario import json_schema, parse_scenario

TEMPLATE = """\
gmemsim: 1
host: {{hugetlb: {{1G: 1}}}}
guests:
  - {{name: vm, memory: 1G, backing: 1G,
     policy: {}}}
workload: []
"""


def policy(text: str) -> Policy:
    """The policy that ``text`` describes in a file."""
    return parse_scenario(TEMPLATE.format(text), source="p.yaml").guests[0].policy


def combinations() -> Iterator[dict[str, Any]]:
    """Every combination of every value of every key as a file writes it, each key absent or given."""
    parameters: dict[str, list[Any]] = {"split": [{"ladder": [18, 9, 0]}], "merge": [{"hysteresis": 2}]}
    choices: list[list[Any]] = [[None, *key.rules.names(), *parameters.get(key.name, [])] for key in KEYS.values()]
    for values in itertools.product(*choices):
        yield {key: value for key, value in zip(KEYS, values, strict=True) if value is not None}


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
            continue
        sound += 1
        written = found.as_file()
        assert all(written[key] == value for key, value in values.items())
        assert policy(json.dumps(written)) == found
    assert sound > 1000
    assert refused > 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{when: fault, ordering: reserve-first}", "reserve-first cannot keep its promise with when: fault"),
        ("{when: fault, ordering: attributes-first}", "attributes-first orders what a conversion splits"),
        ("{when: fault, generation: A}", "attributes-first orders what a conversion splits"),
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


def test_an_unknown_generation_is_a_fault() -> None:
    with pytest.raises(InputError) as caught:
        policy("{generation: C}")
    assert str(caught.value) == "p.yaml:5:27: found 'C', expected one of A, B"


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
    assert not valid({"split": {"ladder": [18]}})
    assert not valid({"split": [64, 0]})
    assert not valid({"merge": [1, 2]})
    assert not valid({"generation": "C"})
