# SPDX-License-Identifier: GPL-2.0-or-later
"""The questions that ship: each has an answer, and every figure in it is one that the scenario expects of its run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gmemsim.reports.words import modelled_time, number
from gmemsim.scenario.format.load import load_scenario, parse_scenario
from gmemsim.scenario.shipped import folder, scenarios
from gmemsim.units import human_size

QUESTIONS = sorted((folder() / "questions").glob("*.yaml"))

FIGURE = re.compile(r"(?<![\w.])\d[\d,.]*\d?(?: (?:B|[KMGT]iB|ns|µs|ms|s)\b)?(?![\w])")
"""A number in an answer, with its unit; sizes such as 4K are names and no figures."""


def figures(answer: str) -> set[str]:
    return {match[0].rstrip(".,") for match in FIGURE.finditer(answer)}


def spellings(value: float) -> set[str]:
    """How a value may be written."""
    whole = round(value)
    return {number(whole), human_size(whole), modelled_time(value)}


def test_every_question_of_the_thread_and_of_the_lists_is_there() -> None:
    assert len(QUESTIONS) >= 16
    assert {path.stem for path in QUESTIONS} <= set(scenarios())


@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path.stem)
def test_the_figures_of_an_answer_are_expected(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.answer
    assert scenario.title.endswith("?")
    held = set().union(*(spellings(expectation.value) for expectation in scenario.expect))
    found = figures(scenario.answer)
    assert found
    assert found - held == set(), "the answer names what no expectation holds"


@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path.stem)
def test_a_question_says_who_asked_and_when(path: Path) -> None:
    comment = " ".join(line.lstrip("# ") for line in path.read_text(encoding="utf-8").splitlines() if line[:1] == "#")
    assert re.search(r"[A-Z]\w+.*\((?:\d+ )?[A-Z]\w+ 20\d\d|[A-Z]\w+, in the .*20\d\d", comment)
    assert '"' not in comment
    message_id = load_scenario(path).message_id
    assert message_id is None or re.fullmatch(r"[^\s<>@]+@[^\s<>@]+", message_id)


def test_figures_are_found_and_names_are_not() -> None:
    said = "For 1G on 4K: 4,162 nodes (2.29 MiB), ≈ 13 ms, 0 of 64G."
    assert figures(said) == {"4,162", "2.29 MiB", "13 ms", "0"}


def test_both_keys_are_one_line_of_text() -> None:
    text = "gmemsim: 1\nguests: [{name: a, memory: 4K, backing: 4K}]\nworkload: []\nanswer: yes\nmessage_id: a@b\n"
    scenario = parse_scenario(text)
    assert (scenario.answer, scenario.message_id) == ("yes", "a@b")
    assert parse_scenario(text.replace("answer: yes\nmessage_id: a@b\n", "")).answer is None
