# SPDX-License-Identifier: GPL-2.0-or-later
"""A run is an iterator: what a loop sees of it, and what is left when the loop ends early."""

from __future__ import annotations

import gc
from itertools import islice

import pytest

from gmemsim.garbage import THRESHOLDS
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.sim.run import Result, Run, run, running

SCENARIO = parse_scenario("""\
gmemsim: 1
title: Out and back
host: {hugetlb: {1G: 2}}
guests: [{name: vm, memory: 1G, backing: 1G, count: 2}]
workload:
  - allocate: {guest: vm, offset: 0, size: 1G}
  - convert: {guest: vm, offset: 0, size: 4K, to: shared, at: 1s, id: shared}
  - wait: {for: 1s}
  - convert: {guest: vm-0, offset: 0, size: 4K, to: private}
expect:
  - {metric: folios.1G, eq: 2}
  - {metric: filemap_nodes.live, eq: 8324, after: shared}
""")


def stopped_after(events: int) -> Result:
    going = Run(SCENARIO)
    assert len(list(islice(going, events))) == events
    return going.result()


def test_a_loop_sees_every_event_and_the_state_after_it() -> None:
    going = Run(SCENARIO)
    assert not going.timeline.events
    seen = []
    for event in going:
        assert going.timeline.events[-1] is event
        assert event.time_ns == going.now
        seen.append((event.kind, event.guest, going.host.ledger.tallies["filemap_nodes"].live))
    assert seen == [
        ("allocate", "vm-0", 1),
        ("allocate", "vm-1", 2),
        ("convert", "vm-0", 4163),
        ("convert", "vm-1", 8324),
        ("wait", None, 8324),
        ("convert", "vm-0", 8324),  # freed after a grace period
    ]
    assert list(going) == []


def test_nothing_happens_until_it_is_asked_for() -> None:
    going = Run(SCENARIO)
    assert going.host.ledger.tallies["filemap_nodes"].live == 0
    result = going.result()
    assert (result.summary["partial"], result.summary["end_time_ns"]) == (True, 0)


def test_looking_changes_nothing() -> None:
    going = Run(SCENARIO)
    for event in going:
        assert going.result().summary["partial"] is True
        assert going.guests[event.guest or "vm-0"].nodes() > 0
    seen, unseen = going.result(), run(SCENARIO)
    assert seen.summary == unseen.summary
    assert seen.timeline.events == unseen.timeline.events


@pytest.mark.parametrize(("events", "expectations"), [(1, 0), (3, 0), (5, 1)])
def test_a_run_that_is_stopped_has_what_was_done_and_says_so(events: int, expectations: int) -> None:
    result = stopped_after(events)
    assert result.summary["partial"] is True
    assert result.timeline.events == run(SCENARIO).timeline.events[:events]
    assert result.summary["end_time_ns"] == result.timeline.end_ns == result.timeline.events[-1].time_ns
    assert len(result.summary["expect"]) == expectations


def test_a_run_can_go_on_after_a_result() -> None:
    going = Run(SCENARIO)
    for event in going:
        if event.kind == "wait":
            break
    assert going.result().summary["partial"] is True
    assert [event.kind for event in going] == ["convert"]
    assert going.result().summary == run(SCENARIO).summary


def test_a_whole_run_is_not_partial() -> None:
    assert "partial" not in run(SCENARIO).summary


def test_while_it_is_running_garbage_is_looked_for_less_often() -> None:
    before = gc.get_threshold()
    with running(SCENARIO) as going:
        next(going)
        assert gc.get_threshold() == THRESHOLDS
        assert gc.isenabled()
    assert gc.get_threshold() == before
    assert len(list(going)) == 5, "it goes on without"
    with pytest.raises(KeyError), running(SCENARIO):
        raise KeyError
    assert gc.get_threshold() == before
