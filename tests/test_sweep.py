# SPDX-License-Identifier: GPL-2.0-or-later
"""Sweeps: variants are what a file with that value would be, and rows what running it gives."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise
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
from gmemsim.studies.sweep import MOST_VARIANTS, Variation, points, read_variation, sweep

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
        ("seed=0..99999999", "expected at most 10,000 numbers"),
        ("seed=5..2", "found the empty range '5..2', expected numbers that ascend"),
        (f"seed={','.join(f'{i}0000..{i}9999' for i in range(1, 4))}", "found more than 10,000 values"),
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
    (point,) = points(text, str(path), [Variation("title", ("x",))])
    assert parse_scenario(point.text, source=str(path)) == attrs.evolve(
        original,
        title="x",
        expect=(),
        workload=tuple(attrs.evolve(step, expect_error=None) for step in original.workload),
    )


def variant(key: str, value: str) -> Scenario:
    (point,) = points(TEXT, "t.yaml", [Variation(key, (value,))])
    return parse_scenario(point.text)


def test_values_go_where_the_key_says() -> None:
    assert variant("seed", "9").seed == 9
    scenario = variant("host.kernel_memory", "1G")
    assert (scenario.host.kernel_memory, scenario.title) == (1 << 30, "Out: and back, 010, yes, 日本語")
    assert scenario.workload[1].id == "yes"
    for key, changed in (("guests.vm1.mapping", [1]), ("guests.0.mapping", [0]), ("guests.*.mapping", [0, 1])):
        assert [i for i, guest in enumerate(variant(key, "tdx").guests) if guest.mapping == "tdx"] == changed
    scenario = variant("guests.*.policy.merge", "{hysteresis: 4}")
    assert [guest.policy.merge for guest in scenario.guests] == [Hysteresis(4)] * 2


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
        points(TEXT, "t.yaml", [Variation(key, (value,))])
    assert complaint in str(caught.value)
    assert len(caught.value.faults) == 1


def test_a_value_that_guests_share_by_an_alias_is_varied_for_one_alone() -> None:
    text = TEXT.replace("{name: vm0, memory: 1G, backing: 1G}", "{name: vm0, memory: 1G, backing: 1G, policy: &p {}}")
    text = text.replace("{name: vm1, memory: 1G, backing: 1G}", "{name: vm1, memory: 1G, backing: 1G, policy: *p}")
    (point,) = points(text, "t.yaml", [Variation("guests.vm0.policy.split", ("staged",))])
    assert [guest.policy.split for guest in parse_scenario(point.text).guests] == ["staged", "uniform"]


def test_many_values_are_read_at_once() -> None:
    assert len(read_variation("seed=0..9999").values) == MOST_VARIANTS


def test_too_many_variants_are_refused() -> None:
    many = [Variation("seed", tuple(map(str, range(101)))), Variation("x", tuple(map(str, range(100))))]
    with pytest.raises(InputError, match=f"at most {MOST_VARIANTS:,}"):
        points(TEXT, "t", many)


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
        points(TEXT, "t.yaml", VARIATIONS, ("filemap_nodes.peak", metric))
    (fault,) = caught.value.faults
    assert fault.source == "t.yaml with policy=b-today host.hugetlb={1G: 2}"
    assert fault.message.startswith(complaint)


def test_a_metric_must_be_in_the_summary_of_every_variant() -> None:
    counts = Variation("guests.vm0.count", ("1", "2"))
    alone = TEXT.replace("guest: vm0, offset: 0, size: 4K", "guest: vm1, offset: 0, size: 4K")
    with pytest.raises(InputError) as caught:
        points(alone, "t.yaml", [counts], ("guests.vm0-1.vmemmap.peak",))
    assert str(caught.value).startswith(
        "t.yaml with guests.vm0.count=1: metric 'guests.vm0-1.vmemmap.peak': found 'vm0-1'"
    )


VARIATIONS = [Variation("policy", ("b-today", "staged")), Variation("host.hugetlb", ("{1G: 2}", "{1G: 1}"))]
METRICS = ("filemap_nodes.peak", "vmemmap.peak_bytes")


def test_rows_are_what_runs_give_and_a_refusal_is_told() -> None:
    variants = points(TEXT, "t", VARIATIONS)
    rows = [row for _, row in sweep(variants, "t", METRICS)]
    assert [row.values for row in rows] == [
        *(("b-today", "{1G: 2}"), ("b-today", "{1G: 1}")),
        *(("staged", "{1G: 2}"), ("staged", "{1G: 1}")),
    ]
    summary = run(parse_scenario(variants[2].text)).summary["accounts"]
    assert rows[2].results == (summary["filemap_nodes"]["peak"], summary["vmemmap"]["peak_bytes"]) == (75, 16773120)
    assert rows[1].results == (None, None)
    assert "guest vm1 cannot be created" in str(rows[1].refused)


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_any_executor_gives_the_same_rows(kind: type[ThreadPoolExecutor] | type[ProcessPoolExecutor]) -> None:
    variants = points(TEXT, "t", VARIATIONS)
    with kind(2) as executor:
        assert sorted(sweep(variants, "t", METRICS, executor)) == list(sweep(variants, "t", METRICS))


def test_it_stops_when_told_to() -> None:
    variants = points(TEXT, "t", VARIATIONS)
    answers = iter([False, True])
    assert len(list(sweep(variants, "t", METRICS, stop=lambda: next(answers)))) == 1
