# SPDX-License-Identifier: GPL-2.0-or-later
"""Names that scenarios written elsewhere rely on: keys, values, accounts and metrics, each with what it must mean."""

from typing import Any

import pytest

from gmemsim.errors import InputError
from gmemsim.results.metrics import metric_value
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.sim.run import run

G = 1 << 30


def summary(workload: str, *, host: str = "hugetlb: {1G: 2}", guest: str = "") -> dict[str, Any]:
    steps = "".join(f"  - {line}\n" for line in workload.strip().splitlines())
    text = f"""
gmemsim: 1
host: {{{host}}}
guests: [{{name: v, memory: 2G, backing: 1G{guest}}}]
workload:
{steps}"""
    return run(parse_scenario(text), check=True).summary


def policy(keys: str) -> dict[str, Any]:
    found: dict[str, Any] = summary("wait: {for: 1s}", guest=f", policy: {{{keys}}}")["guests"][0]["policy"]
    return found


@pytest.mark.parametrize(
    ("keys", "generation", "ordering"),
    [
        ("", "B", "restructure-first"),
        ("generation: A", "A", "attributes-first"),
        ("generation: B", "B", "restructure-first"),
        ("generation: D", "D", "split-first"),
        ("ordering: attributes-first", "A", "attributes-first"),
        ("ordering: split-first", "D", "split-first"),
        ("ordering: block-abort", "B", "block-abort"),
        ("ordering: reserve-first", "B", "reserve-first"),
    ],
)
def test_an_ordering_implies_its_generation_and_a_generation_its_ordering(
    keys: str, generation: str, ordering: str
) -> None:
    found = policy(keys)
    assert (found["generation"], found["ordering"]) == (generation, ordering)


def test_a_ladder_with_one_when_a_rung() -> None:
    found = summary(
        """convert: {guest: v, offset: 0, size: 4K, to: shared}
allocate: {guest: v, offset: 0, size: all}
convert: {guest: v, offset: 1G, size: 4K, to: shared}
fault: {guest: v, offset: 1G, by: host}""",
        guest=", policy: {split: {ladder: [18, 9, 0], when: [conversion, fault]}}",
    )
    assert found["splits"] == {"1G->2M": 2, "2M->4K": 1}
    with pytest.raises(InputError, match="found when: fault beside it"):
        policy("split: {ladder: [18, 9, 0], when: [conversion, fault]}, when: fault")


@pytest.mark.parametrize(("pamt", "pages"), [("none", 0), ("static", -(-2 * G * 4 // 1000 // 4096)), ("dynamic", 2)])
def test_pamt_and_its_account_in_pages(pamt: str, pages: int) -> None:
    workload = """fault: {guest: v, offset: 0, size: all}
convert: {guest: v, offset: 0, size: 4K, to: shared}"""
    found = summary(workload, host=f"hugetlb: {{1G: 2}}, pamt: {pamt}", guest=", mapping: tdx")
    assert metric_value(found, "pamt.live") == pages
    assert metric_value(found, "pamt.live_bytes") == pages * 4096
    assert metric_value(summary(workload, guest=", mapping: tdx"), "pamt.live") == 0  # none is the default


def test_size_all_and_a_fault_without_size() -> None:
    found = summary("""allocate: {guest: v, offset: 1G, size: all}
fault: {guest: v, offset: 1G}
convert: {guest: v, offset: 1G, size: all, to: shared}
convert: {guest: v, offset: 1G, size: all, to: private}
punch_hole: {guest: v, offset: 1G, size: all}""")
    assert found["work"]["allocations"] == 1
    assert found["work"]["bytes_zeroed"] == G - 4096  # the fault has touched one base page
    assert found["splits"] == {"1G->4K": 1}
    assert found["folios"]["4K"] == 0


def test_metrics() -> None:
    found = summary(
        """fault: {guest: v, offset: 0, size: all}
convert: {guest: v, offset: 0, size: 4K, to: private}
inject: {account: vmemmap, nth: 1}
convert: {guest: v, offset: 0, size: 8K, to: shared}
convert: {guest: v, offset: 0, size: 1G, to: shared}"""
    )
    assert metric_value(found, "conversions.unchanged") == 1
    assert metric_value(found, "conversions.requested") == 3
    assert metric_value(found, "conversions.zapped_in_vain") == 2
    assert metric_value(found, "vmemmap_present.live") == 2 * 4096 + 4095 * 4096
    assert metric_value(found, "vmemmap_present.peak") == metric_value(found, "vmemmap_present.peak_bytes")
    assert metric_value(found, "work.tlb_flushes") == 1
    assert metric_value(found, "work.pages_copied") == 4095
    assert metric_value(found, "host.regions_without_private") == 1
