# SPDX-License-Identifier: GPL-2.0-or-later
"""What an observer sees of a run, and how it ends one early."""

from __future__ import annotations

import attrs
import pytest

from gmemsim.results.timeline import Event
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.sim.run import Run, StopRun, run

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


@attrs.define
class Spy:
    stop_after: int = 99
    seen: list[tuple[str, str | None, int]] = attrs.field(factory=list)

    def begun(self, run: Run) -> None:
        assert not run.timeline.events
        self.seen.append(("begun", None, run.host.ledger.tallies["filemap_nodes"].live))

    def stepped(self, run: Run, event: Event) -> None:
        assert run.timeline.events[-1] is event
        self.seen.append((event.kind, event.guest, run.host.ledger.tallies["filemap_nodes"].live))
        if len(self.seen) > self.stop_after:
            raise StopRun


def test_it_sees_every_event_and_the_state_after_it() -> None:
    spy = Spy()
    run(SCENARIO, observer=spy)
    assert spy.seen == [
        ("begun", None, 0),
        ("allocate", "vm-0", 1),
        ("allocate", "vm-1", 2),
        ("convert", "vm-0", 4163),
        ("convert", "vm-1", 8324),
        ("wait", None, 8324),
        ("convert", "vm-0", 8324),  # freed after a grace period
    ]


def test_looking_changes_nothing() -> None:
    seen, unseen = run(SCENARIO, observer=Spy()), run(SCENARIO)
    assert seen.summary == unseen.summary
    assert seen.timeline.events == unseen.timeline.events


@pytest.mark.parametrize(("events", "expectations"), [(1, 0), (3, 0), (5, 1)])
def test_a_run_that_is_stopped_has_what_was_done_and_says_so(events: int, expectations: int) -> None:
    result = run(SCENARIO, observer=Spy(stop_after=events))
    assert result.summary["partial"] is True
    assert result.timeline.events == run(SCENARIO).timeline.events[:events]
    assert result.summary["end_time_ns"] == result.timeline.end_ns == result.timeline.events[-1].time_ns
    assert len(result.summary["expect"]) == expectations


def test_a_whole_run_is_not_partial() -> None:
    assert "partial" not in run(SCENARIO).summary
