# SPDX-License-Identifier: GPL-2.0-or-later
"""NUMA nodes in scenario files: how they are written, what is wrong with them, what the summary says."""

from typing import Any

import pytest

from gmemsim.errors import InputError
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.sim.run import run

TEXT = """
gmemsim: 1
host: {page_size: 4K, nodes: [{hugetlb: {1G: 1}}, {hugetlb: {1G: 1}, kernel_memory: 20M}]}
guests: [{name: vm0, memory: 1G, backing: 1G, node: 1}]
workload:
  - allocate: {guest: vm0, offset: 0, size: all}
  - convert: {guest: vm0, offset: 0, size: 4K, to: shared}
expect:
  - {metric: nodes.1.kernel_memory.peak_bytes, ge: 1}
"""


def summary(text: str) -> dict[str, Any]:
    return run(parse_scenario(text), check=True).summary


def test_the_summary_says_it_by_node() -> None:
    found = summary(TEXT)
    assert list(found["nodes"]) == ["0", "1"]
    assert found["nodes"]["1"]["hugepages"] == {"1G": {"total": 1, "free": 0}}
    assert found["nodes"]["1"]["accounts"]["vmemmap"] == {"live": 4095, "live_bytes": 4095 * 4096}
    assert found["nodes"]["1"]["kernel_memory"]["limit_bytes"] == 20 << 20
    assert "limit_bytes" not in found["nodes"]["0"]["kernel_memory"]
    whole = sum(node["kernel_memory"]["live_bytes"] for node in found["nodes"].values())
    assert whole == found["accounts"]["total"]["live_bytes"]
    assert all(verdict["ok"] for verdict in found["expect"])
    assert "notes" not in found


def test_one_node_without_a_limit_changes_nothing() -> None:
    with_node = summary(
        TEXT.replace(", {hugetlb: {1G: 1}, kernel_memory: 20M}", "")
        .replace(", node: 1", "")
        .replace("nodes.1", "nodes.0")
    )
    without = summary(
        TEXT.replace("nodes: [{hugetlb: {1G: 1}}, {hugetlb: {1G: 1}, kernel_memory: 20M}]", "hugetlb: {1G: 1}")
        .replace(", node: 1", "")
        .split("expect")[0]
    )
    for found in (with_node, without):
        found["provenance"] = found["expect"] = found["nodes"] = None
    assert with_node == without


def test_a_full_node_is_noted() -> None:
    found = summary(TEXT.replace("20M", "10M"))
    fallbacks = found["nodes"]["1"]["fallbacks"]
    assert fallbacks > 0
    assert found["notes"] == [f"node 1 was full: {fallbacks:,} objects that wanted it are from other nodes"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("host: {", "host: {hugetlb: {1G: 1}, ", "found hugetlb beside nodes, expected each node to have its own"),
        ("node: 1", "node: 2", "4:53: found node 2, expected a node below 2"),
        (
            "{hugetlb: {1G: 1}, kernel_memory: 20M}",
            "{hugetlb: {2M: 1}}",
            "4:43: found hugepages of 1G, expected a size in host.nodes[1].hugetlb (2M)",
        ),
        ("{1G: 1}, kernel_memory: 20M", "{3M: 1}", "found 3M, expected 64K, 2M, 32M or 1G"),
        ("kernel_memory: 20M", "kernel_memory: 20", "found '20'"),
        ("nodes: [", "nodes: [4, ", "3:31: found '4', expected a node with hugetlb, kernel_memory"),
        ("nodes.1", "nodes.2", "9:14: found 'nodes.2.kernel_memory.peak_bytes', expected a node below 2"),
        ("nodes.1", "nodes.x", "9:14: found 'x', expected the number of a NUMA node, such as 0"),
    ],
)
def test_what_is_wrong_has_its_place(old: str, new: str, fault: str) -> None:
    with pytest.raises(InputError) as info:
        parse_scenario(TEXT.replace(old, new, 1))
    assert fault in str(info.value)


def test_a_guest_of_a_node_on_a_host_without_any() -> None:
    text = TEXT.replace("nodes: [{hugetlb: {1G: 1}}, {hugetlb: {1G: 1}, kernel_memory: 20M}]", "hugetlb: {1G: 1}")
    with pytest.raises(InputError) as info:
        parse_scenario(text)
    assert "found node 1, expected 0, for the host has no nodes" in str(info.value)
    assert "expected a host with nodes" in str(info.value)
