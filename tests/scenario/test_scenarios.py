# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenarios of the project: each runs, all it expects holds, and all that a summary counts can be expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import pytest

from gmemsim.gmem.policy import Policy
from gmemsim.scenario import Scenario, load_scenario
from gmemsim.scenario.format.metric import Metric
from gmemsim.scenario.model import NOWHERE
from gmemsim.sim.run import Result, run

FILES = sorted((Path(__file__).parents[2] / "scenarios").rglob("*.yaml"))
NOT_METRICS = ("schema", "seed", "expect", "title", "replays", "provenance")


@cache
def result_of(path: Path) -> Result:
    """The run of a scenario, once for all tests of it."""
    return run(load_scenario(path))


def test_the_scenarios_that_the_documentation_names_are_there() -> None:
    names = {path.stem for path in FILES}
    assert {"rfc-cover", "staged", "is-it-necessary", "memdescs", "boot-16g-2m", "boot-sensitivity"} <= names
    assert {"host-64-guests", "host-64-guests-staged", "granules", "replay-qemu"} <= names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_everything_expected_holds(path: Path) -> None:
    result = result_of(path)
    assert result.scenario.expect
    assert [entry for entry in result.summary["expect"] if not entry["ok"]] == []


def numbers(value: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The dotted paths of all numbers in a summary; those of a guest's policy are no results."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            if key != "policy":
                yield from numbers(below, (*path, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from numbers(below, (*path, str(index)))
    elif isinstance(value, int | float):
        yield ".".join(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_number_of_a_summary_is_a_metric(path: Path) -> None:
    result = result_of(path)
    summary = result.summary
    metric = Metric("", guests=result.scenario.guest_names)
    found = list(numbers({key: value for key, value in summary.items() if key not in NOT_METRICS}))
    assert len(found) > 100
    for name in found:
        assert metric.read(name, plain=True) == name


def load(name: str) -> Scenario:
    return load_scenario(next(path for path in FILES if path.stem == name))


@pytest.mark.parametrize("seed", range(1, 5))
def test_the_boot_meets_the_published_figures_whatever_the_seed(seed: int) -> None:
    """622 hugepages split and about 30 merged again (Roth, 12 Jul 2025)."""
    summary = run(attrs.evolve(load("boot-16g-2m"), seed=seed)).summary
    assert summary["splits"]["2M->4K"] == pytest.approx(622, abs=5)
    assert summary["merges"]["4K->2M"] == pytest.approx(30, abs=10)


def test_no_scenario_expects_a_fitted_price_back() -> None:
    """A modelled time is a count times a price; to expect it proves nothing that the count does not."""
    for path in FILES:
        assert not [expected.metric for expected in load_scenario(path).expect if "modelled_time" in expected.metric]


def test_one_host_runs_out_of_kernel_memory_and_the_other_does_not_by_policy_alone() -> None:
    today, staged = load("host-64-guests"), load("host-64-guests-staged")
    alike = [attrs.evolve(guest, policy=Policy()) for guest in staged.guests]
    assert list(today.guests) == alike
    assert (today.host, today.seed) == (staged.host, staged.seed)
    assert [attrs.evolve(step, where=NOWHERE) for step in today.workload] == [
        attrs.evolve(step, where=NOWHERE) for step in staged.workload
    ]
    failed = [
        result_of(FILES[0].parent / f"{name}.yaml").summary for name in ("host-64-guests", "host-64-guests-staged")
    ]
    assert failed[0]["conversions"]["failed"]["ENOMEM"] > 100
    assert failed[1]["conversions"]["failed"] == {}
    assert len(failed[0]["guests"]) == 64
