# SPDX-License-Identifier: GPL-2.0-or-later
"""Budgets: what guests need is what a run without limits holds, and not a byte less is enough."""

from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmemsim.gmem.policy import Policy
from gmemsim.gmem.presets import PRESETS, policy_text, read_policy
from gmemsim.reports.figures import canvas, needs
from gmemsim.scenario.format.load import load_scenario
from gmemsim.scenario.generators import Scatter
from gmemsim.scenario.model import Allocate, Convert, GuestSpec, GuestStep, HostSpec, Inject, Scenario, Wait
from gmemsim.sim.run import run
from gmemsim.studies.budget import Host, Question, budget, need
from gmemsim.studies.copies import copied, unlimited
from gmemsim.studies.quantiles import needed, quantile
from gmemsim.units import human_size

SCENARIOS = Path(__file__).parents[1] / "scenarios"
M, G = 1 << 20, 1 << 30

WORK = (
    Allocate(guest="vm0", offset=0, size="all"),
    Convert(guest="vm0", offset=0, size=4096, to="shared", at=1_000_000),
    Wait(duration=5_000_000),
    Convert(guest="vm0", offset=2 * M, size=4 * M, to="shared"),
    Convert(guest="vm0", offset=0, size="all", to="private", at=30_000_000),
)


def scenario(**more: object) -> Scenario:
    guest = GuestSpec(name="vm0", memory=G, backing=2 * M, policy=Policy())
    given = {"host": HostSpec(hugetlb={2 * M: 520}), "guests": (guest,), "workload": WORK} | more
    return Scenario(title="one", **given)  # type: ignore[arg-type]


def test_a_bar_of_the_figure_says_what_is_needed() -> None:
    """Beside its end, in the unit that people read; ticks are powers of two."""
    found = budget(asked(scenario()))
    with canvas.paper():
        ax = needs.draw(found).axes[0]
    assert found.rows[0].bytes is not None
    assert [text.get_text() for text in ax.texts] == [human_size(found.rows[0].bytes)]
    step = ax.get_xticks()[1] - ax.get_xticks()[0]
    assert math.log2(step).is_integer()


def scattered(count: int = 40) -> Scenario:
    load = Scatter(guest="vm0", count=count, duration=10**9, lifetime=10**8)
    return scenario(workload=(Allocate(guest="vm0", offset=0, size="all"), load))


def asked(of: Scenario, **more: object) -> Question:
    return Question(scenario=of, policies={"own": None}, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["rfc-cover", "replay-qemu", "staged", "is-it-necessary", "numa"])
def test_one_guest_needs_the_peak_of_a_run_without_limits(name: str) -> None:
    """What `run` calls ``total.peak_bytes`` is the budget."""
    shipped = load_scenario(SCENARIOS / f"{name}.yaml")
    (row,) = budget(asked(shipped)).rows
    assert row.bytes == run(unlimited(shipped)).summary["accounts"]["total"]["peak_bytes"]
    assert sum(row.need.accounts.values()) == row.bytes  # type: ignore[union-attr]


@pytest.mark.parametrize("policy", ["b-today", "staged", "nonuniform"])
def test_with_the_budget_nothing_fails_and_with_a_byte_less_something_does(policy: str) -> None:
    """The budget is the least."""
    question = Question(scenario=scenario(), policies={policy: PRESETS[policy].policy})
    least = budget(question).rows[0].bytes
    assert least is not None
    whole = question.of(policy, 1, 0)
    for bytes_, fails in ((least, False), (least - 1, True)):
        limited = attrs.evolve(whole, host=attrs.evolve(whole.host, kernel_memory=bytes_))
        assert bool(run(limited).summary["conversions"]["failed"]) == fails


def test_limits_and_injections_are_left_out() -> None:
    """They would say what fails and not what is needed."""
    guest = attrs.evolve(scenario().guests[0], kernel_memory=65536)
    host = HostSpec(hugetlb={2 * M: 520}, kernel_memory=4 * M)
    tight = scenario(host=host, guests=(guest,), workload=(Inject(account="any", nth=3), *WORK))
    assert budget(asked(tight)).rows[0].bytes == budget(asked(scenario())).rows[0].bytes


def test_copies_at_once_do_what_a_group_of_guests_does() -> None:
    """Copies are the guests of a group, the pool as large as for them."""
    group = attrs.evolve(scenario().guests[0], count=3)
    by_hand = scenario(host=HostSpec(hugetlb={2 * M: 520 + 2 * 512}), guests=(group,))
    made, expected = run(copied(scenario(), 3)).summary, run(by_hand).summary
    for part in ("accounts", "conversions", "splits", "merges", "folios", "work"):
        assert made[part] == expected[part]


def test_staggered_copies_are_each_the_scenario_later() -> None:
    """Far enough apart, they need together what each leaves and one what it needs at its peak."""
    one, two = run(scenario()), run(copied(scenario(), 2, stagger=10**9))
    assert two.summary["conversions"]["requested"] == 2 * one.summary["conversions"]["requested"]
    times = [event.time_ns for event in two.timeline.events if event.guest == "vm0-1"]
    assert times == [event.time_ns + 10**9 for event in one.timeline.events if event.guest == "vm0"]
    together = need(copied(scenario(), 2)).peak
    assert need(scenario()).peak < need(copied(scenario(), 2, stagger=10**9)).peak < together


def test_one_guest_alone_can_be_copied() -> None:
    """The others stay as they are, and the pool grows by what the copies reserve."""
    other = attrs.evolve(scenario().guests[0], name="vm1")
    both = scenario(
        host=HostSpec(hugetlb={2 * M: 1024}),
        guests=(*scenario().guests, other),
        workload=tuple(attrs.evolve(s, guest="all") if isinstance(s, GuestStep) else s for s in WORK),
    )
    made = copied(both, 4, "vm1")
    assert made.guest_names == ("vm0", "vm1-0", "vm1-1", "vm1-2", "vm1-3")
    assert made.host.hugetlb == {2 * M: 1024 + 3 * 512}
    assert run(made).summary["conversions"]["requested"] == 15
    with pytest.raises(ValueError, match="did you mean 'vm1'"):
        copied(both, 2, "vm11")


def test_copies_of_a_random_load_differ() -> None:
    """Else all guests would share the same pages at the same time; the first has the numbers of the scenario."""
    one, two = run(scattered()), run(copied(scattered(), 2))
    offsets = [[event.offset for event in two.timeline.events if event.guest == f"vm0-{i}"] for i in (0, 1)]
    assert offsets[0] != offsets[1]
    assert offsets[0] == [event.offset for event in one.timeline.events]


def test_pools_of_nodes_grow_where_the_guests_are() -> None:
    """A copy lies on the node of its guest."""
    made = copied(unlimited(load_scenario(SCENARIOS / "numa.yaml")), 3, "far")
    assert [dict(node.hugetlb) for node in made.host.nodes] == [{G: 2}, {G: 6}]
    assert run(made).summary["splits"]["1G->4K"] == 8


def test_the_host_is_full() -> None:
    """So many fit, one more does not: counted by hand from what they need."""
    host = Host(memory=10 * G, other=G // 2)
    (row,) = budget(asked(scenario()), host=host).rows

    def used(copies: int) -> int:
        found = need(copied(unlimited(scenario()), copies))
        pool = (520 + (copies - 1) * 512) * 2 * M
        assert found.pool == pool
        return pool + found.peak + found.kept + (10 * G - pool) // 4096 * 64 + G // 2

    assert used(row.guests) == sum((row.uses or {}).values()) <= host.memory < used(row.guests + 1)
    assert row.short in (None, used(row.guests + 1) - host.memory)


def test_what_is_not_even_one_guest() -> None:
    """A host smaller than its hugepages."""
    (row,) = budget(asked(scenario()), host=Host(memory=G)).rows
    assert (row.guests, row.bytes) == (0, None)
    assert row.short is not None
    assert row.short > 0


def test_static_pamt_counts_for_all_of_the_host() -> None:
    """That of the pool is in the ledger, that of the rest is not."""
    guest = attrs.evolve(scenario().guests[0], mapping="tdx")
    tdx = scenario(host=HostSpec(hugetlb={2 * M: 520}, pamt="static"), guests=(guest,))
    (row,) = budget(asked(tdx), host=Host(memory=4 * G)).rows
    assert row.uses is not None
    assert row.uses["pamt"] == (4 * G - row.uses["pool"]) * 4 // 1000


def test_seeds_are_those_of_runs() -> None:
    """The sample is what each seed needs; with few seeds there is no upper end."""
    sample = sorted(need(unlimited(attrs.evolve(scattered(), seed=seed))).peak for seed in range(8))
    (row,) = budget(asked(scattered()), seeds=8, q=0.5).rows
    assert (row.bytes, row.low, row.high) == (sample[3], sample[0], sample[7])
    (row,) = budget(asked(scattered()), seeds=8, q=0.999).rows
    assert (row.bytes, row.high) == (sample[7], None)


def test_without_random_numbers_one_run_is_exact() -> None:
    """More seeds would tell the same."""
    (row,) = budget(asked(scenario()), seeds=50).rows
    assert row.seeds == 1
    assert row.low == row.high == row.bytes


def test_other_processes_find_the_same() -> None:
    """Scenarios travel with their policies."""
    question = Question(scenario=scattered(), policies={"s": Policy(split="staged"), "own": None})
    with ProcessPoolExecutor(2) as executor:
        assert budget(question, seeds=3, executor=executor).rows == budget(question, seeds=3).rows


def test_a_stop_keeps_what_is_done() -> None:
    """The runs that ended are there, and it is said how many did not."""
    calls = iter([False, False, False, True])
    found = budget(asked(scattered()), seeds=9, stop=lambda: next(calls))
    assert (found.complete, found.left, found.rows[0].seeds) == (False, 6, 3)


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 200), st.floats(0.2, 0.9), st.integers(0, 2**32))
def test_intervals_contain_the_quantile_as_often_as_they_say(n: int, q: float, seed: int) -> None:
    """Of a uniform distribution, whose quantile is known."""
    rng = Random(seed)
    held = 0
    for _ in range(200):
        found = quantile([rng.randrange(10**9) for _ in range(n)], q)
        low, high = found.low, found.high
        held += (low is None or low <= q * 10**9) and (high is None or high >= q * 10**9)
    assert held >= 180, f"{held} of 200 intervals hold, seed {seed}"


@given(st.floats(0.01, 0.99))
def test_so_many_values_have_an_upper_end_and_one_less_has_not(q: float) -> None:
    """What ``needed`` says."""
    n = needed(q)
    assert quantile(range(n), q).high is not None
    assert n == 1 or quantile(range(n - 1), q).high is None


@pytest.mark.parametrize("q", [0, 1, -0.5, 2, float("nan")])
def test_a_quantile_is_a_part(q: float) -> None:
    """Everything else is refused."""
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile([1], q)


def test_policies_as_text_are_read_again() -> None:
    """What a budget and a tuning print, --policy takes."""
    for preset in PRESETS.rows():
        assert read_policy(policy_text(preset.policy))[1] == preset.policy
    odd = Policy(split=(9, 4, 0), merge="never", vmemmap="off", ordering="split-first", on_split_failure="keep")
    assert read_policy(policy_text(odd, "odd")) == ("odd", odd)
