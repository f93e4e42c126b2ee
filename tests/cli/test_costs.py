# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``costs`` as a user runs it."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner, Result

from gmemsim.cli.main import gmemsim
from gmemsim.host.costs import PROFILES
from gmemsim.host.work import COUNTERS


def costs(*arguments: str) -> Result:
    return CliRunner().invoke(gmemsim, ["costs", *arguments], env={"COLUMNS": "80"})


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_told_in_full(name: str) -> None:
    result = costs(name)
    assert (result.exit_code, result.stderr) == (0, "")
    assert max(map(len, result.stdout.splitlines())) <= 80
    words = " ".join(result.stdout.split())
    profile = PROFILES[name]
    assert profile.description in words
    assert profile.leaves_out in words
    for counter in COUNTERS:
        (line,) = re.findall(rf"^{counter} .*$", result.stdout, re.MULTILINE)
        assert ("not priced" in line) == (profile.figures[counter].ns is None)
        assert ("contained" in line) == (profile.figures[counter].ns == 0)
        assert profile.figures[counter].source in words


def test_prices_have_bands_and_say_what_is_stretched() -> None:
    lines = {line.split()[0]: " ".join(line.split()) for line in costs("default").stdout.splitlines() if line.strip()}
    assert lines["tlb_flushes"].startswith("tlb_flushes tlb 43.4 µs 6.3 ")
    assert "stretched" not in lines["tlb_flushes"]
    assert lines["bytes_cleared"].startswith("bytes_cleared clear 0.073 ns 2.8 stretched")
    for counter in ("rmp_updates", "psmashes", "demotes"):
        assert "not priced" in lines[counter]


def test_without_a_name_all_are_told() -> None:
    result = costs()
    assert result.exit_code == 0
    assert [line for line in result.stdout.splitlines() if line in PROFILES] == list(PROFILES)


def test_a_mistyped_profile_is_answered() -> None:
    result = costs("roth-snp-2052")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no profile 'roth-snp-2052', did you mean 'roth-snp-2025'?" in result.stderr


def test_as_json_it_is_all_that_the_tables_say() -> None:
    told = json.loads(costs("--json").stdout)
    assert told["schema"] == 1
    assert [profile["name"] for profile in told["profiles"]] == list(PROFILES)
    for profile in told["profiles"]:
        assert list(profile["prices"]) == list(COUNTERS)
        for counter, price in profile["prices"].items():
            figure = PROFILES[profile["name"]].figures[counter]
            assert (price["ns"], price["source"]) == (figure.ns, figure.source)
            assert ("at_least" in price) == (figure.ns is not None)


def test_a_price_that_is_given_is_told_as_given() -> None:
    (profile,) = json.loads(costs("default", "--json", "--price", "rmpupdate=2us").stdout)["profiles"]
    assert profile["prices"]["rmp_updates"]["ns"] == 2000
    assert profile["prices"]["rmp_updates"]["source"] == "given by the user"
    assert "not priced" not in next(
        line for line in costs("default", "--price", "kick=3us").stdout.splitlines() if line.startswith("kicks ")
    )
    free = [line.split() for line in costs("default", "--price", "tlb_flushes=0").stdout.splitlines()]
    assert next(words for words in free if words[:1] == ["tlb_flushes"])[2:4] == ["0", "ns"]
    wrong = costs("default", "--price", "rmpupdate=2")
    assert (wrong.exit_code, wrong.stdout) == (2, "")


def test_a_price_counts_where_work_is_priced() -> None:
    price = ("scenarios/tdx-demote.yaml", "--json", "--price", "demotes=1ms")
    summary = json.loads(CliRunner().invoke(gmemsim, ["run", *price]).stdout)
    demotes = summary["work"]["demotes"]
    assert summary["modelled_time_ns"]["demote"] == demotes * 1_000_000 > 0
    assert summary["estimates"]["modelled_time_ns"]["prices"] == {"demotes": 1_000_000}
    arguments = ["--policy", "b-today", "--metric", "modelled_time_ns.demote", "--metric", "work.demotes"]
    rows = json.loads(CliRunner().invoke(gmemsim, ["compare", *price, *arguments]).stdout)["rows"]
    values = {row["metric"]: row["values"]["b-today"] for row in rows}
    assert values["modelled_time_ns.demote"] == values["work.demotes"] * 1_000_000 > 0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("kicks", "--price kicks: found 'kicks', expected COUNTER=TIME, such as rmp_updates=2us"),
        ("kiks=1us", "--price kiks=1us: found 'kiks', expected a counter of work, did you mean 'kicks'?"),
        ("vmemmap=1us", "--price vmemmap=1us: found 'vmemmap', expected a counter of work"),
        ("kicks=1", "--price kicks=1: found '1', expected a time with a unit"),
        ("kicks=-1us", "--price kicks=-1us: found '-1us', expected a time with a unit"),
        ("kicks=", "--price kicks=: found ''"),
    ],
)
def test_a_wrong_price(text: str, fault: str) -> None:
    result = costs("default", "--price", text, "--price", "exits=1us")
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(fault)


def test_all_that_is_wrong_with_prices_is_said_at_once() -> None:
    result = costs("default", "--price", "a=1us", "--price", "kicks=1us", "--price", "kick=2us")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 2
    assert "found a second price of kicks, expected one" in result.stderr
