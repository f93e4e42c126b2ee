"""The scenarios of the project: each runs, all it expects holds, and all that a summary counts can be expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gmemsim.run import run
from gmemsim.scenario import load_scenario
from gmemsim.scenario.metric import Metric

FILES = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))
NOT_METRICS = ("schema", "seed", "expect", "title")


def test_the_scenarios_that_the_documentation_names_are_there() -> None:
    names = {path.stem for path in FILES}
    assert {"rfc-cover", "staged", "is-it-necessary", "memdescs", "boot-16g-2m"} <= names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_everything_expected_holds(path: Path) -> None:
    scenario = load_scenario(path)
    result = run(scenario)
    assert scenario.expect
    assert [entry for entry in result.summary["expect"] if not entry["ok"]] == []


def numbers(value: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The dotted paths of all numbers in a summary."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from numbers(below, (*path, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from numbers(below, (*path, str(index)))
    elif isinstance(value, int | float):
        yield ".".join(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_number_of_a_summary_is_a_metric(path: Path) -> None:
    scenario = load_scenario(path)
    summary = run(scenario).summary
    metric = Metric("", guests=scenario.guest_names)
    found = list(numbers({key: value for key, value in summary.items() if key not in NOT_METRICS}))
    assert len(found) > 100
    for name in found:
        assert metric.read(name, plain=True) == name
