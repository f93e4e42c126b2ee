# SPDX-License-Identifier: GPL-2.0-or-later
"""Sums that leave 63 bits, and work that would never end: refused when the file is read, with a place."""

from __future__ import annotations

import pytest

from gmemsim.errors import InputError
from gmemsim.scenario import parse_scenario
from gmemsim.sim.run import run

LARGEST = (1 << 63) - 1


def faults(host: str, guest: str, *steps: str) -> str:
    """The faults of a scenario, found at once."""
    workload = "".join(f"\n  - {step}" for step in steps) or " []"
    text = f"gmemsim: 1\nhost: {{{host}}}\nguests: [{{name: vm, {guest}}}]\nworkload:{workload}\n"
    with pytest.raises(InputError) as caught:
        parse_scenario(text, source="b.yaml")
    return str(caught.value)


SMALL = "memory: 1G, backing: 1G"
POOL = "hugetlb: {1G: 1}"


@pytest.mark.parametrize(
    ("host", "guest", "steps", "fault"),
    [
        (
            f"{POOL}, rcu_grace: {LARGEST}ns",
            SMALL,
            ["wait: {for: 1ns}"],
            "2:37: found a grace period of 9.22e+09 s, which ends after 2^63 ns, expected less (it follows",
        ),
        (POOL, SMALL, [f"wait: {{for: {LARGEST}ns}}"], "2:7: found a grace period of 10 ms, which ends after 2^63 ns"),
        (
            POOL,
            SMALL + ", count: 2",
            [f"flip: {{guest: vm, count: 1, interval: 1ns, stagger: {LARGEST}ns}}"],
            "5:5: found a step that ends after 2^63 ns, expected less",
        ),
        ("hugetlb: {1G: 9000000000}", SMALL, [], "2:17: found more than 2^63 bytes of hugepages, expected less"),
        (f"hugetlb: {{1G: 1, 2M: {LARGEST}}}", SMALL, [], "2:17: found more than 2^63 bytes of hugepages"),
        ("", "memory: 4096P, backing: 4K, count: 2", [], "3:29: found guests of more than 2^63 bytes in all"),
        (
            "hugetlb: {2M: 1000000000}",
            "memory: 1P, backing: 2M",
            ["allocate: {guest: vm, offset: 0, size: 1P}"],
            "5:44: found 536,870,912 hugepages or page tables to fill, expected at most 100,000,000",
        ),
        (
            "hugetlb: {2M: 1000000000}",
            "memory: 64T, backing: 2M, count: 4",
            ["fault: {guest: all, offset: 0, size: 64T}"],
            "5:42: found 134,217,728 hugepages or page tables to fill, expected at most",
        ),
        (
            "",
            "memory: 1P, backing: 4K",
            ["fault: {guest: vm, offset: 0, size: 1P}"],
            "5:41: found 536,870,912 hugepages or page tables to fill, expected at most",
        ),
        (
            "hugetlb: {1G: 16384}",
            "memory: 16T, backing: 1G",
            ["mapgpa: {guest: vm, size: 16T, to: shared, chunk: 4K}"],
            "5:55: found 4,294,967,296 chunks of 16T, expected at most",
        ),
        (
            "hugetlb: {1G: 16384}",
            "memory: 16T, backing: 1G",
            ["psc: {guest: vm, size: 16T, to: shared, large: false}"],
            "5:28: found 4,294,967,296 entries of page-state changes, expected at most",
        ),
        (
            "hugetlb: {1G: 16384}",
            "memory: 16T, backing: 1G",
            ["parallel: {steps: [lazy_accept: {guest: vm, unit: 4K}]}"],
            "5:55: found 4,294,967,296 units of 16T, expected at most",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(host: str, guest: str, steps: list[str], fault: str) -> None:
    (line,) = faults(host, guest, *steps).splitlines()
    assert line.startswith(f"b.yaml:{fault}")


def test_what_just_fits_is_accepted() -> None:
    parse_scenario(
        f"gmemsim: 1\nhost: {{rcu_grace: {LARGEST - 5}ns, hugetlb: {{1G: 8589934591}}}}\n"
        "guests: [{name: vm, memory: 4095P, backing: 4K, count: 2}]\nworkload:\n  - wait: {for: 5ns}\n"
    )


@pytest.mark.parametrize("piece", ["2M", "4K"])
def test_a_kexec_of_terabytes_takes_time_for_what_is_shared(piece: str) -> None:
    text = (
        "gmemsim: 1\nhost: {hugetlb: {1G: 16384}}\nguests: [{name: vm, memory: 16T, backing: 1G}]\nworkload:\n"
        "  - convert: {guest: vm, offset: 4K, size: 16K, to: shared}\n"
        "  - convert: {guest: vm, offset: 15T, size: 6M, to: shared}\n"
        f"  - kexec: {{guest: vm, piece: {piece}, at: 1s, duration: 16s}}\n"
    )
    result = run(parse_scenario(text))
    taken = [event for event in result.timeline.events[2:] if event.errno is None]
    assert len(taken) == (1 + 3 if piece == "2M" else 4 + 1536)
    assert {event.size for event in taken[1:]} == ({2 << 20} if piece == "2M" else {4 << 10})
    assert taken[0].time_ns == pytest.approx(10**9, abs=100)
    assert taken[-1].offset == (15 << 40) + (6 << 20) - (taken[-1].size or 0)
    assert taken[-1].time_ns == pytest.approx(16 * 10**9, abs=10**6)  # 15 of 16 TiB in 15 of 16 s
