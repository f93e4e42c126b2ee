# SPDX-License-Identifier: GPL-2.0-or-later
"""Generators carried out: when a run goes on after them, and what they leave on the host."""

from __future__ import annotations

from typing import Any

import pytest

from gmemsim.errors import InputError
from gmemsim.scenario import parse_scenario
from gmemsim.sim.run import run

MS = 1_000_000
GRACE = 10 * MS

HEAD = """\
gmemsim: 1
host: {hugetlb: {2M: 512}, rcu_grace: 10ms}
guests: [{name: vm, memory: 256M, backing: 2M, count: 3}, {name: one, memory: 256M, backing: 2M}]
workload:
  - allocate: {guest: vm, offset: 0, size: 256M}
"""


def summary(*steps: str) -> dict[str, Any]:
    text = HEAD + "".join(f"  - {step}\n" for step in steps)
    return run(parse_scenario(text)).summary


ENDS = [
    ("boot: {guest: one, at: 5ms, duration: 100ms}", 105),
    ("boot: {guest: vm, duration: 100ms, stagger: 40ms}", 180),
    ("swiotlb: {guest: vm, stagger: 7ms}", 14),
    ("scatter: {guest: one, count: 3, duration: 50ms}", 50),
    ("granule: {guest: one, count: 3, duration: 50ms, lifetime: 1ms}", 50),
    ("flip: {guest: vm, count: 2, interval: 5ms, stagger: 1ms}", 17),
    ("psc: {guest: one, size: 2M, to: shared, duration: 30ms}", 30),
    ("mapgpa: {guest: one, size: 6M, to: shared, duration: 30ms}", 30),
    ("lazy_accept: {guest: one, duration: 20ms}", 20),
    ("kexec: {guest: one, at: 1ms}", 101),
    ("parallel: {at: 2ms, steps: [flip: {guest: vm, count: 1, interval: 9ms}, kexec: {guest: one, at: 5ms}]}", 105),
    ("vfio: {steps: [flip: {guest: one, count: 1, interval: 9ms}]}", 9),
]


@pytest.mark.parametrize(("step", "end"), ENDS, ids=[step.partition(":")[0] for step, _ in ENDS])
def test_the_checks_and_the_run_agree_when_a_generator_ends(step: str, end: int) -> None:
    assert summary(step, f"wait: {{for: 1ms, at: {end}ms}}")["end_time_ns"] == (end + 1) * MS + GRACE
    assert summary(step, "wait: {for: 1ms}")["end_time_ns"] == (end + 1) * MS + GRACE
    text = HEAD + f"  - {step}\n  - wait: {{for: 0, at: {end * MS - 1}ns}}\n"
    with pytest.raises(InputError, match="when the step before it ends"):
        parse_scenario(text)


def test_after_a_kexec_everything_is_private_again() -> None:
    boot = "boot: {guest: vm, duration: 1s, vcpus: 2}"
    before = summary(boot)
    assert before["folios"]["4K"] > 0
    after = summary(boot, "kexec: {guest: vm}")
    assert after["folios"]["4K"] == 0
    assert after["splits"] == before["splits"]
    assert after["merges"]["4K->2M"] == after["splits"]["2M->4K"]
    for guest in after["guests"]:
        assert guest["accounts"]["vmemmap"]["live"] == 0


def test_a_kexec_converts_what_is_shared_and_nothing_else() -> None:
    pages = ("0", "4K", "12K", "100M")
    shares = [f"convert: {{guest: one, offset: {page}, size: 4K, to: shared}}" for page in pages]
    found = summary(*shares, "kexec: {guest: one, piece: 8K}")["conversions"]
    assert found["requested"] == found["succeeded"] == len(pages) + 3  # two neighbours are one


def test_a_kexec_sees_what_is_shared_when_it_comes_there() -> None:
    """Beside another generator, too: the pages shared above it meanwhile are taken back, those below stay."""
    flip = "flip: {guest: one, count: 1, interval: 1s, at: 50ms, offset: OFFSET}"
    for offset, private in (("0", 0), ("255M", 1)):
        parts = f"parallel: {{steps: [kexec: {{guest: one}}, {flip.replace('OFFSET', offset)}]}}"
        calls = summary("allocate: {guest: one, offset: 0, size: 256M}", parts)["conversions"]
        assert calls["requested"] == 2 + private


def test_pins_that_follow_sharing_never_stand_in_the_way() -> None:
    scatter = "scatter: {guest: vm, count: 60, duration: 1s, lifetime: 100ms, each: 8K}"
    found = summary(f"vfio: {{steps: [{scatter}]}}", "kexec: {guest: vm}")
    assert found["conversions"]["failed"] == {"EAGAIN": _pinned(found)}
    assert found["calls"]["pin"]["failed"] == {}
    assert found["calls"]["unpin"]["failed"] == {}


def _pinned(found: dict[str, Any]) -> int:
    """Allocations of 8K that outlive the scatter keep their pins."""
    left: int = (found["calls"]["pin"]["succeeded"] - found["calls"]["unpin"]["succeeded"]) // 2
    return left


def test_a_vmm_that_forgets_to_unmap_gets_eagain() -> None:
    flip = "flip: {guest: one, count: 3, interval: 1ms, size: 16K}"
    found = summary(f"vfio: {{unmap: false, steps: [{flip}]}}")
    assert found["conversions"]["failed"] == {"EAGAIN": 3}
    assert found["calls"]["pin"]["succeeded"] == 4


def test_lazily_accepted_memory_is_allocated_when_it_is_needed() -> None:
    found = summary("lazy_accept: {guest: one, size: 64M, duration: 10ms, order: random}")
    (one,) = [guest for guest in found["guests"] if guest["name"] == "one"]
    assert one["folios"]["2M"] == 32
    assert found["calls"]["fault"]["succeeded"] == 32


def test_guests_with_the_same_stream_cost_the_same() -> None:
    found = summary("scatter: {guest: vm, count: 30, duration: 1s, lifetime: 300ms, streams: same}")
    first, second, third, _ = found["guests"]
    assert first["accounts"] == second["accounts"] == third["accounts"]
    assert first["splits"]["2M->4K"] > 10
