# SPDX-License-Identifier: GPL-2.0-or-later
"""The fuzzer of whole runs: its worlds, its judges, and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gmemsim.cli.fuzz import WATCH, watch_beside
from gmemsim.cli.main import gmemsim
from gmemsim.results.timeline import Event
from gmemsim.scenario import parse_scenario
from gmemsim.studies.fuzz import Watcher, as_text, fuzz, trial, world_of
from tests.model.pages import ABSENT, Call, Mismatch, Pages, Rules, Seen, check_cover, nodes_of

STAGED = Rules((18, 9, 0), 2, True, None, True, False, False)


def broken(scenario: object) -> Watcher:
    """A watch that does not like two conversions."""
    seen: list[str] = []

    def look(event: Event, guests: object) -> bool:
        seen.append(event.kind)
        assert seen.count("convert") < 2, "a second conversion"
        return True

    return look


BROKEN = f"{__name__}:broken"


@pytest.mark.parametrize("number", range(20))
def test_every_world_is_a_scenario(number: int) -> None:
    text = as_text(world_of(3, number))
    assert text == as_text(world_of(3, number))
    assert parse_scenario(text.encode(), source="f.yaml").workload


def test_no_law_breaks() -> None:
    found = fuzz(1, 12, watch=WATCH)
    assert found.finding is None, found.finding and found.finding.text
    assert found.runs == 12
    assert found.watched > found.calls.total() // 2
    assert set(found.calls) > {None, "ENOMEM"}


def test_a_failure_is_shortened_to_what_it_needs() -> None:
    finding = fuzz(1, 12, watch=BROKEN).finding
    assert finding is not None
    assert [next(iter(step)) for step in finding.steps] == ["convert", "convert"]
    assert len(finding.world["guests"]) == 1
    again = trial(finding.text, BROKEN).failure
    assert again is not None
    assert again.kind == finding.failure.kind == "AssertionError in tests/fuzz/test_worlds.py:look"
    assert again.step == 1
    assert trial(finding.text, WATCH).failure is None


def test_what_is_no_scenario_is_no_failure() -> None:
    assert trial("gmemsim: 2").refused
    assert trial("gmemsim: 1\nguests: [{name: a, memory: 2M, backing: 2M}]\nworkload: []").refused


def test_the_command_reports_and_writes_what_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gmemsim.cli.fuzz.watch_beside", lambda: BROKEN)
    out = tmp_path / "broken.yaml"
    result = CliRunner().invoke(gmemsim, ["fuzz", "--seed", "1", "--jobs", "1", "--out", str(out)])
    assert result.exit_code == 1, result.output
    for label in (
        "BUG: ",
        "message",
        "version",
        "seed",
        "shortened",
        "host",
        "guest",
        "step",
        "dump",
        "trace",
        "command",
    ):
        assert f"\n{label}" in f"\n{result.output}"
    again = CliRunner().invoke(gmemsim, ["fuzz", "--replay", str(out)])
    assert again.exit_code == 1, again.output
    assert "BUG: AssertionError" in again.output
    refused = CliRunner().invoke(gmemsim, ["fuzz", "--runs", "1", "--out", str(out)])
    assert refused.exit_code == 2
    assert "already there" in refused.output


def test_the_command_says_what_judged() -> None:
    assert watch_beside() == WATCH
    result = CliRunner().invoke(gmemsim, ["fuzz", "--runs", "2", "--jobs", "1"])
    assert result.exit_code == 0, result.output
    assert "no law broke" in result.output
    assert "tests.model.watch" in result.output


def test_outside_of_a_checkout_the_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gmemsim.cli.fuzz.watch_beside", lambda: None)
    result = CliRunner().invoke(gmemsim, ["fuzz", "--runs", "1", "--jobs", "1"])
    assert "not used: the independent model is in tests/model" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--force"], "--force needs --out FILE"),
        (["--time", "10q"], "found '10q'"),
        (["--replay", "rfc-cover", "--runs", "1"], "--runs does not go with --replay"),
    ],
)
def test_options_that_make_no_sense(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(gmemsim, ["fuzz", *arguments])
    assert result.exit_code == 2
    assert said in result.output


def test_minutes_may_be_written_as_other_fuzzers_do() -> None:
    result = CliRunner().invoke(gmemsim, ["fuzz", "--time", "0m", "--jobs", "1"])
    assert "found" not in result.output or result.exit_code == 0


# -- the model itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("orders", "nodes"),
    [
        ([(1 << 18, 18)], 1),
        ([(1 << 18, 0)], 1 + 64 + 4096),
        ([(1 << 18, 9)], 1 + 64),
        ([(512, 0), ((1 << 18) - 512, 9)], 1 + 64 + 8),
        ([(1, 0)], 0),
        ([(2, 0)], 1),
    ],
)
def test_nodes_of_the_model_are_those_of_the_thread(orders: list[tuple[int, int]], nodes: int) -> None:
    """DOMAIN.md section 2; without the root of shift 18 that a split keeps and these folios do not need."""
    order = np.concatenate([np.full(pages, each, np.int8) for pages, each in orders])
    assert nodes_of(order) == nodes


def seen(pages: Pages) -> Seen:
    return Seen(pages.private.copy(), pages.order.copy(), nodes_of(pages.order))


def test_the_model_splits_and_merges_in_stages() -> None:
    twin, model = Pages(1 << 18, STAGED), Pages(1 << 18, STAGED)
    for call in (
        Call("allocate", 0, 1 << 18),
        Call("convert", 5, 6, shared=True),
        Call("pin", 5, 6),
        Call("convert", 0, 512, "EAGAIN", 5),
        Call("unpin", 5, 6),
        Call("convert", 5, 6),
    ):
        twin._apply(call)
        assert model.after(call, seen(twin))
    assert (model.order == 18).all()


def test_the_model_sees_what_is_wrong() -> None:
    model = Pages(1024, Rules((9, 0), 1, True, None, True, False, False))
    model.order[:] = 9
    file = seen(model)
    with pytest.raises(Mismatch, match="private pages"):
        model.after(Call("convert", 0, 1, shared=True), file)
    model.private, model.order = file.private.copy(), file.order.copy()
    with pytest.raises(Mismatch, match="nodes"):
        model.after(Call("allocate", 0, 1), Seen(file.private, file.order, file.nodes + 2))
    with pytest.raises(Mismatch, match="no page of"):
        model.after(Call("convert", 0, 1, "EAGAIN", 0), file)
    torn = file.order.copy()
    torn[3] = ABSENT
    with pytest.raises(Mismatch, match="not whole"):
        check_cover(torn)
