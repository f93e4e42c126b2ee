# SPDX-License-Identifier: GPL-2.0-or-later
"""The keys of a policy, each value as text and as a file writes it."""

from __future__ import annotations

from typing import Any

import pytest

from gmemsim.gmem.policy import KEYS, Policy
from gmemsim.gmem.presets import PRESETS, policy_text, read_policy
from gmemsim.gmem.rules import GENERATIONS, MERGES, ORDERINGS, SPLITS, VMEMMAPS, WHENS, Hysteresis, Ladder
from gmemsim.registry import Registry

VALUES: list[tuple[str, str, Any, Any]] = [
    ("split", "staged", "staged", "staged"),
    ("split", "18-9-0", (18, 9, 0), {"ladder": [18, 9, 0]}),
    (
        "split",
        "18-9-0@conversion-fault",
        Ladder((18, 9, 0), ("conversion", "fault")),
        {"ladder": [18, 9, 0], "when": ["conversion", "fault"]},
    ),
    ("merge", "never", "never", "never"),
    ("merge", "hysteresis-3", Hysteresis(3), {"hysteresis": 3}),
    ("when", "fault", "fault", "fault"),
    ("ordering", "block-abort", "block-abort", "block-abort"),
]


@pytest.mark.parametrize(("key", "text", "value", "in_file"), VALUES)
def test_a_value_is_text_and_a_file_writes_it(key: str, text: str, value: Any, in_file: Any) -> None:
    form = KEYS[key]
    assert form.from_text(text) == value
    assert form.as_text(value) == text
    assert form.as_file(value) == in_file
    if form.parameter is not None and isinstance(in_file, dict):
        first, *also = in_file.values()
        assert form.parameter.from_file(first, *map(tuple, also)) == value
        shown, words = form.explained(in_file)
        assert shown.startswith(f"{form.parameter.name}: ")
        assert words == form.parameter.words
    else:
        assert form.explained(value) == (text, form.rules[text].words)


def test_what_a_parameter_is_and_what_is_expected_of_it() -> None:
    ladder, hysteresis = KEYS["split"].parameter, KEYS["merge"].parameter
    assert ladder is not None
    assert hysteresis is not None
    assert (ladder.name, ladder.many, ladder.least, ladder.most, ladder.also) == ("ladder", True, 0, 63, "when")
    assert (ladder.expected, ladder.shown) == ("decreasing orders down to 0", "orders such as [18, 9, 0]")
    assert (hysteresis.name, hysteresis.many, hysteresis.least) == ("hysteresis", False, 1)
    assert hysteresis.expected == "a whole number from 1"
    assert [(key, form.choices()[-1]) for key, form in KEYS.items() if form.parameter is not None] == [
        ("split", "18-12-6-0"),
        ("merge", "hysteresis-10"),
    ]


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("split", "stagd", "found 'stagd', expected split to be one of uniform, .*, 18-12-6-0, did you mean 'staged'"),
        ("merge", "hysteresis-0", "hysteresis is 0, expected at least 1"),
        ("when", "18-0", "found '18-0', expected when to be one of conversion, fault"),
        ("split", "18-20-0@fault", "must be at least two strictly decreasing orders"),
        ("split", "18-9-0@fault-conversion", "splits at conversion what only a fault before it makes"),
        ("split", "18-9-0@fault", "1 time for the 2 steps of the ladder"),
    ],
)
def test_text_that_is_no_value_is_refused(key: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KEYS[key].from_text(text)


def test_what_sets_the_rules_apart() -> None:
    """Each flag, and the rules of a registry that have it."""

    def having(registry: Registry[Any], flag: str) -> str:
        return " ".join(name for name in registry.names() if getattr(registry[name], flag))

    assert having(ORDERINGS, "all_or_nothing") == "reserve-first"
    assert having(ORDERINGS, "splits_ahead") == "split-first"
    assert having(ORDERINGS, "needs_conversion_splits") == "attributes-first reserve-first split-first"
    assert having(GENERATIONS, "metadata_while_split") == "A"
    assert having(GENERATIONS, "splits_page_by_page") == "A"
    assert having(GENERATIONS, "zeroes_partial_holes") == "A"
    assert having(SPLITS, "single_steps") == "nonuniform nonuniform-all-or-nothing"
    assert having(SPLITS, "keeps_failed_steps") == "nonuniform"
    assert having(WHENS, "at_conversion") == "conversion"
    assert having(MERGES, "early") == having(MERGES, "always") == "eager"
    assert having(MERGES, "at_all") == "eager cleanup"
    assert having(MERGES, "counts_splits") == ""
    assert having(VMEMMAPS, "optimised") == "whole reoptimize partial"
    assert having(VMEMMAPS, "pieces_stay_optimised") == "reoptimize partial"
    assert having(VMEMMAPS, "all_first") == "reoptimize"


@pytest.mark.parametrize("name", PRESETS)
def test_a_policy_as_text_is_that_policy(name: str) -> None:
    policy = PRESETS[name].policy
    assert policy_text(policy) == name
    assert read_policy(f"mine={name}") == ("mine", policy)


@pytest.mark.parametrize("text", ["own=merge:hysteresis-3", "own=split:18-10-0,merge:never,vmemmap:off"])
def test_a_policy_that_is_no_preset_is_said_by_what_is_not_usual(text: str) -> None:
    name, policy = read_policy(text)
    assert name == "own"
    assert policy_text(policy) == text


def test_when_folios_are_split_is_a_value_of_a_policy_or_of_its_rungs() -> None:
    assert [Policy().when, Policy(when="fault").when] == ["conversion", "fault"]
    rungs = Ladder((18, 9, 0), ("conversion", "fault"))
    assert Policy(split=rungs).when is None
    assert Policy(split=rungs).as_file()["split"] == {"ladder": [18, 9, 0], "when": ["conversion", "fault"]}


def test_the_orders_of_presets() -> None:
    orders = {name: KEYS["split"].as_text(read_policy(name)[1].split) for name in PRESETS}
    assert {name: text for name, text in orders.items() if text[0].isdigit()} == {
        "ladder-1g": "18-12-6-0",
        "ladder-1g-fault": "18-9-0@conversion-fault",
    }
    assert {orders[name] for name in ("b-today", "a-rfc-v2", "never", "split-first")} == {"uniform"}
