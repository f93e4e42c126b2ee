# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics: which paths there are, what is said about others, and when an expectation holds."""

from __future__ import annotations

import pytest

from gmemsim.results.summary import CALL_KINDS
from gmemsim.scenario.format.metric import Metric
from gmemsim.scenario.model import STEPS, Expectation, Operator

METRIC = Metric("", guests=("vm-0", "vm-1", "small"))


@pytest.mark.parametrize(
    "path",
    [
        "filemap_nodes.peak",
        "accounts.filemap_nodes.peak",
        "vmemmap.peak_bytes",
        "total.live_bytes",
        "conversions.requested",
        "conversions.failed.EAGAIN",
        "conversions.failed.EHWPOISON",
        "splits.1G->4K",
        "merges.4K->1G",
        "folios.2M",
        "end_time_ns",
        "modelled_time_ns.total",
        "guests.vm-1.vmemmap.live",
        "guests.2.accounts.vmemmap.live",
        "guests.small.splits.1G->2M",
        "guests.0.folios.4K",
    ],
)
def test_paths_of_the_summary(path: str) -> None:
    assert METRIC.read(path, plain=True) == path


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("filemap_node.peak", "found 'filemap_node', expected a part of the summary, did you mean 'filemap_nodes'?"),
        ("filemap_nodes.peek", "found 'peek', expected a part of the summary, did you mean 'peak'?"),
        ("filemap_nodes", "found 'filemap_nodes', which is not a number, expected one more part: live, peak,"),
        ("conversions.failed", "found 'conversions.failed', which is not a number, expected one more part: the name"),
        ("conversions.failed.EAGIN", "found 'EAGIN', expected the name of an errno, such as EAGAIN, did you mean"),
        ("end_time_ns.x", "found 'x' after the end of a metric"),
        ("folios.4k", "found '4k', expected a size as reports write it, such as 4K"),
        ("folios.4096B", "found '4096B', expected a size as reports write it, such as 4K"),
        ("folios.0", "found '0', expected a size as reports write it, such as 4K"),
        ("splits.1G", "found '1G', expected two sizes, such as 1G->4K"),
        ("splits.1G->1G", "found '1G->1G', expected two sizes, such as 1G->4K"),
        ("splits.1G->x", "found 'x', expected a size as reports write it, such as 4K"),
        ("guests", "found 'guests', expected guests.NAME. and a metric of that guest"),
        ("guests.vm-0", "found 'guests.vm-0', expected guests.NAME. and a metric of that guest"),
        ("guests.vm-2.vmemmap.live", "found 'vm-2', expected the name of a guest, did you mean 'vm-1'?"),
        ("guests.3.vmemmap.live", "found guest '3', expected a number below 3"),
        ("guests.0.end_time_ns", "found 'end_time_ns', expected a part of the summary"),
        ("guest.0.vmemmap.live", "found 'guest', expected a part of the summary, did you mean 'guests'?"),
        ("", "found '', expected a part of the summary"),
        ("vmemmap..live", "found '', expected a part of the summary"),
        ("zzz", "found 'zzz', expected a part of the summary (filemap_nodes, "),
        ("x" * 201, "found 'xxxxxxx"),
    ],
)
def test_other_paths(path: str, fault: str) -> None:
    with pytest.raises(ValueError, match=r"^found") as caught:
        METRIC.read(path, plain=True)
    assert str(caught.value).startswith(fault)


def test_any_guest_will_do_while_guests_are_not_known() -> None:
    assert Metric("").read("guests.anyone.vmemmap.live", plain=True)


@pytest.mark.parametrize(
    ("op", "value", "rel", "yes", "no"),
    [
        ("eq", 5, None, [5, 5.0], [4, 6]),
        ("ne", 5, None, [4, 6], [5]),
        ("le", 5, None, [5, -1], [6]),
        ("ge", 5, None, [5, 9], [4.9]),
        ("approx", 100, 0.1, [90, 110, 100], [89, 111]),
        ("approx", -100, 0.1, [-90, -110], [-89, 100]),
        ("approx", 0, 0.5, [0], [1]),
    ],
)
def test_when_an_expectation_holds(
    op: Operator, value: float, rel: float | None, yes: list[float], no: list[float]
) -> None:
    expectation = Expectation(metric="m", op=op, value=value, rel=rel)
    assert all(expectation.holds(found) for found in yes)
    assert not any(expectation.holds(found) for found in no)


def test_the_calls_of_the_summary_are_the_steps_that_can_fail() -> None:
    assert tuple(step.key for step in STEPS if step.can_fail) == CALL_KINDS
