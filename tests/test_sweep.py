# SPDX-License-Identifier: GPL-2.0-or-later
"""Sweeps: variants are what a file with that value would be, and rows what running it gives."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise, product
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.errors import InputError
from gmemsim.gmem.presets import PRESETS
from gmemsim.gmem.rules import Hysteresis
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.scenario.model import Scenario
from gmemsim.sim.run import run
from gmemsim.studies.sweep import MOST_CHECKED, MOST_POINTS, Plan, SweepRow, Variation, read_variation, sweep

TEXT = """\
gmemsim: 1
title: "Out: and back, 010, yes, 日本語"
seed: 3
host: {hugetlb: {1G: 2}, rcu_grace: 0}
guests:
  - {name: vm0, memory: 1G, backing: 1G}
  - {name: vm1, memory: 1G, backing: 1G}
workload:
  - allocate: {guest: all, offset: 0, size: 1G}
  - convert: {guest: vm0, offset: 0, size: 4K, to: shared, id: yes}
  - convert: {guest: vm0, offset: 0, size: 4K, to: private, expect_error: {errno: EAGAIN}}
expect:
  - {metric: filemap_nodes.peak, eq: 7}
"""
SCENARIOS = sorted((Path(__file__).parents[1] / "scenarios").glob("*.yaml"))


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("seed=0..3", "seed", ("0", "1", "2", "3")),
        ("host.kernel_memory=64M, unlimited", "host.kernel_memory", ("64M", "unlimited")),
        ("host.hugetlb={1G: 1, 2M: 7},{1G: 2}", "host.hugetlb", ("{1G: 1, 2M: 7}", "{1G: 2}")),
        ("policy=staged;x=split:18-0,merge:never", "policy", ("staged", "x=split:18-0,merge:never")),
        ("policy=staged,b-today", "policy", ("staged", "b-today")),
    ],
)
def test_a_variation_is_a_key_and_its_values(text: str, key: str, values: tuple[str, ...]) -> None:
    assert read_variation(text) == Variation(key, values)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("seed", "expected KEY=VALUE"),
        ("=1", "expected KEY=VALUE"),
        ("seed=", "expected KEY=VALUE"),
        ("seed=1,,2", "found an empty value"),
        ("seed=1,1", "found '1' twice"),
        ("seed=0..99999999", "expected at most 10,000,000 numbers"),
        ("seed=5..2", "found the empty range '5..2', expected numbers that ascend"),
        ("seed=1,5..2", "found the empty range '5..2'"),
        ("seed=1,0..2", "found '1' twice"),
    ],
)
def test_a_wrong_variation_is_named(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_variation(text)


@given(st.from_regex(r"[a-z]+(\.[a-z*0-9]+){0,3}=[a-z0-9,.;{}\[\]]*", fullmatch=True))
def test_any_text_is_a_variation_or_a_value_error(text: str) -> None:
    try:
        variation = read_variation(text)
    except ValueError:
        return
    assert variation.values
    assert len(set(variation.values)) == len(variation.values)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_variant_that_changes_nothing_is_the_scenario(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    original = parse_scenario(text, source=str(path))
    assert scenario(text, Variation("title", ("x",)), str(path)) == attrs.evolve(
        original,
        title="x",
        expect=(),
        workload=tuple(attrs.evolve(step, expect_error=None) for step in original.workload),
    )


def scenario(text: str, variation: Variation, source: str = "t.yaml") -> Scenario:
    plan = Plan(text, source, [variation])
    plan.check()
    return plan.template.scenario(plan.settings_of(0))


def variant(key: str, value: str) -> Scenario:
    return scenario(TEXT, Variation(key, (value,)))


def test_values_go_where_the_key_says() -> None:
    assert variant("seed", "9").seed == 9
    made = variant("host.kernel_memory", "1G")
    assert (made.host.kernel_memory, made.title) == (1 << 30, "Out: and back, 010, yes, 日本語")
    assert made.workload[1].id == "yes"
    for key, changed in (("guests.vm1.mapping", [1]), ("guests.0.mapping", [0]), ("guests.*.mapping", [0, 1])):
        assert [i for i, guest in enumerate(variant(key, "tdx").guests) if guest.mapping == "tdx"] == changed
    made = variant("guests.*.policy.merge", "{hysteresis: 4}")
    assert [guest.policy.merge for guest in made.guests] == [Hysteresis(4)] * 2


@pytest.mark.parametrize("name", PRESETS)
def test_every_named_policy_can_be_a_value(name: str) -> None:
    assert {guest.policy for guest in variant("policy", name).guests} == {PRESETS[name].policy}


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        (
            "host.memdsc",
            "x",
            "t.yaml with host.memdsc=x: found the key 'memdsc', expected a key of a host, did you mean",
        ),
        ("host.memdesc", "x", "t.yaml with host.memdesc=x: found 'x'"),
        ("guests.vm7.memory", "1G", "found 'vm7' in 'guests.vm7.memory', expected a name, * or a number below 2"),
        ("guests.7", "1G", "expected a name, * or a number below 2"),
        ("seed.x", "1", "found nothing at 'seed.x'"),
        ("seed.x.y", "1", "found nothing at 'seed.x.y'"),
        ("seed", "[", "found '[', expected a value as in a scenario file"),
        ("seed", "&a [*a]", "found '&a [*a]', expected a value as in a scenario file"),
        ("seed", "!!int 5", "found '!!int 5', expected a value as in a scenario file"),
        ("seed", "1\n---\n2", "expected a value as in a scenario file"),
        ("seed", "{a: 1, a: 2}", "expected a value as in a scenario file"),
        ("seed", "#", "found '#', expected a value as in a scenario file"),
        ("seed", "[" * 2000, "expected a value as in a scenario file"),
        ("seed", "{a: " * 2000 + "1" + "}" * 2000, "expected a value as in a scenario file"),
        (
            "seed",
            "[" + ",".join(["&a [1,1,1,1]"] + [f"&{c} [*{b},*{b},*{b},*{b}]" for b, c in pairwise("abcdefghij")]) + "]",
            "expected a value as in a scenario file",
        ),
        ("seed", "9" * 5000, "t.yaml with seed='9999"),
        ("seed", "0.." + "9" * 5000, "t.yaml with seed='0..9"),
        ("policy", "stagd", "did you mean 'staged'?"),
    ],
)
def test_a_variant_that_makes_no_sense_is_refused_before_any_run(key: str, value: str, complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        Plan(TEXT, "t.yaml", [Variation(key, (value,))]).check()
    assert complaint in str(caught.value)
    assert len(caught.value.faults) == 1


def test_a_value_that_guests_share_by_an_alias_is_varied_for_one_alone() -> None:
    text = TEXT.replace("{name: vm0, memory: 1G, backing: 1G}", "{name: vm0, memory: 1G, backing: 1G, policy: &p {}}")
    text = text.replace("{name: vm1, memory: 1G, backing: 1G}", "{name: vm1, memory: 1G, backing: 1G, policy: *p}")
    made = scenario(text, Variation("guests.vm0.policy.split", ("staged",)))
    assert [guest.policy.split for guest in made.guests] == ["staged", "uniform"]


def test_many_values_are_read_at_once() -> None:
    assert len(read_variation("seed=0..99999").values) == 100_000


def test_too_many_points_are_refused() -> None:
    many = [Variation("seed", tuple(map(str, range(5000)))), Variation("x", tuple(map(str, range(5000))))]
    with pytest.raises(InputError, match=f"found 25,000,000 variants, expected at most {MOST_POINTS:,}"):
        Plan(TEXT, "t", many).check()


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_places_are_all_combinations_in_order(lengths: list[int]) -> None:
    variations = [Variation(f"k{i}", tuple(f"{i}.{j}" for j in range(n))) for i, n in enumerate(lengths)]
    plan = Plan("", "t", variations)
    combinations = list(product(*(variation.values for variation in variations)))
    assert [plan.values(place) for place in range(len(plan))] == combinations


def test_a_large_plan_has_every_value_checked() -> None:
    seeds = Variation("seed", tuple(map(str, range(MOST_CHECKED - 10))))
    with pytest.raises(InputError, match="found 'nonsense'"):
        Plan(TEXT, "t", [Variation("host.memdesc", ("struct-page", "nonsense")), seeds]).check()


def test_a_point_that_is_no_scenario_is_a_row() -> None:
    plan = Plan(TEXT, "t", [Variation("guests.*.memory", ("1G", "512M"))], METRICS)
    (good, bad) = [row for _, row in sweep(plan)]
    assert good.refused is None
    assert bad == SweepRow(("512M",), (None, None), bad.refused)
    assert "found 512M" in str(bad.refused)


def test_seeds_make_the_same_points_in_any_order() -> None:
    """The template keeps what the seeds of one point after the other have in common."""
    plan = Plan(TEXT, "t", [Variation("seed", ("1", "2")), Variation("host.memdesc", ("struct-page", "struct-page-8"))])
    for place in (0, 2, 1, 3, 0):
        settings = plan.settings_of(place)
        assert plan.template.scenario(settings) == Plan(TEXT, "t", []).template.scenario(settings)
        assert plan.template.scenario(settings).settings == tuple(map(str, settings))


@pytest.mark.parametrize(
    ("metric", "complaint"),
    [
        ("vmemap.peak", "metric 'vmemap.peak': found 'vmemap', expected a part of the summary, did you mean"),
        ("vmemmap", "metric 'vmemmap': found 'vmemmap', which is not a number"),
        ("folios.3M", "metric 'folios.3M': found '3M', expected a size as reports write it, such as 4K"),
        ("guests.vm7.vmemmap.peak", "metric 'guests.vm7.vmemmap.peak': found 'vm7', expected the name of a guest"),
        ("guests.2.vmemmap.peak", "metric 'guests.2.vmemmap.peak': found guest '2', expected a number below 2"),
    ],
)
def test_a_metric_that_no_summary_has_is_refused_before_any_run(metric: str, complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        Plan(TEXT, "t.yaml", VARIATIONS, ("filemap_nodes.peak", metric)).check()
    (fault,) = caught.value.faults
    assert fault.source == "t.yaml with policy=b-today host.hugetlb={1G: 2}"
    assert fault.message.startswith(complaint)


def test_a_metric_must_be_in_the_summary_of_every_variant() -> None:
    counts = Variation("guests.vm0.count", ("1", "2"))
    alone = TEXT.replace("guest: vm0, offset: 0, size: 4K", "guest: vm1, offset: 0, size: 4K")
    with pytest.raises(InputError) as caught:
        Plan(alone, "t.yaml", [counts], ("guests.vm0-1.vmemmap.peak",)).check()
    assert str(caught.value).startswith(
        "t.yaml with guests.vm0.count=1: metric 'guests.vm0-1.vmemmap.peak': found 'vm0-1'"
    )


VARIATIONS = [Variation("policy", ("b-today", "staged")), Variation("host.hugetlb", ("{1G: 2}", "{1G: 1}"))]
METRICS = ("filemap_nodes.peak", "vmemmap.peak_bytes")


def test_rows_are_what_runs_give_and_a_refusal_is_told() -> None:
    plan = Plan(TEXT, "t", VARIATIONS, METRICS)
    rows = [row for _, row in sweep(plan)]
    assert [row.values for row in rows] == [
        *(("b-today", "{1G: 2}"), ("b-today", "{1G: 1}")),
        *(("staged", "{1G: 2}"), ("staged", "{1G: 1}")),
    ]
    summary = run(plan.template.scenario(plan.settings_of(2))).summary["accounts"]
    assert rows[2].results == (summary["filemap_nodes"]["peak"], summary["vmemmap"]["peak_bytes"]) == (75, 16773120)
    assert rows[2].made == ("3", "B", "default")
    assert rows[1].results == (None, None)
    assert "guest vm1 cannot be created" in str(rows[1].refused)


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_any_executor_gives_the_same_rows(kind: type[ThreadPoolExecutor] | type[ProcessPoolExecutor]) -> None:
    plan = Plan(TEXT, "t", VARIATIONS, METRICS)
    with kind(2) as executor:
        assert sorted(sweep(plan, executor)) == list(sweep(plan))


def test_what_is_done_is_left_out() -> None:
    plan = Plan(TEXT, "t", VARIATIONS, METRICS)
    assert [place for place, _ in sweep(plan, done=bytes([1, 0, 1, 0]))] == [1, 3]


def test_it_stops_when_told_to() -> None:
    answers = iter([False, True])
    assert len(list(sweep(Plan(TEXT, "t", VARIATIONS, METRICS), stop=lambda: next(answers)))) == 1
