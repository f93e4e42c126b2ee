# SPDX-License-Identifier: GPL-2.0-or-later
"""Recorders of runs: frames are bounded and in order, layouts and censuses are what a slow look finds."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmemsim.gmem.presets import PRESETS
from gmemsim.results.recordings import CLASSES, Layout
from gmemsim.results.timeline import Event
from gmemsim.scenario import model as schema
from gmemsim.scenario.model import GuestSpec, HostSpec, Scenario
from gmemsim.sim.census import RISE, CensusRecorder
from gmemsim.sim.frames import Frames
from gmemsim.sim.holdings import POINTS, HoldingsRecorder
from gmemsim.sim.layout import MOST_FAILING, MOST_GUESTS, MOST_WATCHED, LayoutRecorder
from gmemsim.sim.recorder import Recorder
from gmemsim.sim.run import Run

M, G = 1 << 20, 1 << 30


@given(st.lists(st.integers(0, 10**6), max_size=400), st.integers(6, 40))
def test_frames_stay_bounded_in_order_and_whole(waits: list[int], most: int) -> None:
    frames, events = Frames(most), []
    time = 0
    owner: list[int] = []  # the frame of every event
    for number, wait in enumerate(waits):
        time += wait
        events.append(time)
        frames.begins(time, number)
        owner.append(len(frames) - 1)
        part_of = frames.thinned()
        if part_of is not None:
            owner = [part_of[frame] for frame in owner]
        assert len(frames) <= most
    assert owner == sorted(owner)
    assert set(owner) == set(range(len(frames)))
    for frame, (begin, first) in enumerate(zip(frames.times, frames.events, strict=True)):
        assert (begin, first) == (events[owner.index(frame)], owner.index(frame))


def test_a_million_events_at_once_and_one_much_later_are_told_apart() -> None:
    frames = Frames(64)
    for number in range(100_000):
        if frames.begins(5, number):
            frames.thinned()
    assert 16 < len(frames) <= 64
    assert frames.begins(10**12, 100_000)


def scenario(policy: str, backing: int, guests: int, seed: int, *, steps: int = 60) -> Scenario:
    """Random calls of all kinds."""
    rng = Random(seed)
    memory = {G: 2 * G, 2 * M: 70 * M, 4096: 3 * M}[backing]
    hugetlb = {backing: guests * memory // backing} if backing > 4096 else {}
    workload: list[schema.Step] = []
    for step in range(steps):
        granule = rng.choice([4096, 4096, 2 * M, backing])
        offset = rng.randrange(memory // granule) * granule
        size = min(granule * rng.choice([1, 1, 2, 7, 1000]), memory - offset)
        at: dict[str, Any] = {
            "guest": f"g-{rng.randrange(guests)}" if guests > 1 else "g",
            "offset": offset,
            "size": size,
        }
        time = (step + rng.randrange(2)) * 1000
        kind = rng.choice(
            ["shared", "shared", "private", "allocate", "punch", "fault", "close" if step > 50 else "fault"]
        )
        match kind:
            case "shared" | "private":
                workload.append(schema.Convert(**at, to=kind, at=time))
            case "allocate":
                workload.append(schema.Allocate(**at, at=time))
            case "punch":
                workload.append(schema.PunchHole(**at, at=time))
            case "fault":
                workload.append(schema.FaultIn(**at, by=rng.choice(["guest", "host"]), at=time))
            case "close":
                workload.append(schema.Close(guest=at["guest"], at=time))
    spec = GuestSpec(name="g", memory=memory, backing=backing, count=guests, policy=PRESETS[policy].policy)
    return Scenario(title="random", host=HostSpec(hugetlb=hugetlb), guests=(spec,), workload=tuple(workload))


def watched(run: Run, *recorders: Recorder) -> None:
    """Carry out ``run``; ``recorders`` see every event."""
    for event in run:
        for recorder in recorders:
            recorder.see(event)


class Slow:
    """A :class:`LayoutRecorder` whose state is compared after every event with what looking at every cell finds."""

    def __init__(self, run: Run, **options: int) -> None:
        self._geometry = run.host.geometry
        self._recorder = LayoutRecorder(run, **options)
        self.guests = self._recorder._guests

    def result(self) -> Layout:
        return self._recorder.result()

    def see(self, event: Event) -> None:
        self._recorder.see(event)
        for cells in self.guests.values():
            guest = cells.guest
            for i in range(cells.number):
                low, high = i << cells.order, min(i + 1 << cells.order, guest.pages)
                pages, shared = [0] * CLASSES, False
                if not guest.closed:
                    for first, number, order in guest.folio_runs(low, high):
                        kind = self._geometry.size_class(order)
                        pages[kind] += min(first + (number << order), high) - max(first, low)
                    shared = any(True for _ in guest.shared_ranges(low, high))
                found = cells.pages[CLASSES * i : CLASSES * (i + 1)].tolist()
                assert (found, bool(cells.shared[i])) == (pages, shared), (event, guest.name, i)
        for layout in self.result().guests:
            cells = self.guests[layout.guest]
            assert layout.left[-1].ravel().tolist() == cells.pages.tolist()
            assert (layout.shared_left[-1] == cells.shared).all()
            assert (layout.fineness >= layout.left.sum(axis=1) @ [5, 4, 3, 2, 1]).all()
            assert (layout.most >= layout.finest.sum(axis=1)).all()


FITTING = [(name, G) for name in PRESETS] + [(name, 2 * M) for name in PRESETS if not name.startswith("ladder-1g")]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([*FITTING, ("b-today", 4096)]), st.sampled_from([1, 2, 9]), st.sampled_from([16, 300]), st.data()
)
def test_the_layout_is_what_a_slow_look_finds(
    kind: tuple[str, int], guests: int, cells: int, data: st.DataObject
) -> None:
    policy, backing = kind
    run = Run(scenario(policy, backing, guests, data.draw(st.integers(0, 999))))
    recorder = Slow(run, cells=cells, frames=data.draw(st.sampled_from([8, 512])))
    watched(run, recorder)
    layout = recorder.result()
    used = sum(cells.had_memory or cells.failed > 0 for cells in recorder.guests.values())
    shown = min(used or MOST_GUESTS, MOST_GUESTS) if guests > MOST_GUESTS else guests
    assert (len(layout.guests), layout.watched, layout.total) == (shown, guests, guests)
    order = [list(run.guests).index(found.guest) for found in layout.guests]
    assert order == sorted(order)
    for found in layout.guests:
        assert (found.cells - 1) * found.cell_bytes < found.size <= found.cells * found.cell_bytes
        assert found.finest.shape == (len(found.frames), found.cells, CLASSES)
        assert found.frames.tolist() == sorted(set(found.frames.tolist()))
        assert found.frames[-1] < len(layout.times)


def test_a_folio_that_is_split_and_merged_within_a_frame_is_seen() -> None:
    steps: list[schema.Step] = [schema.Allocate(guest="g", offset=0, size=G)]
    for i in range(1000):
        to: schema.State = "shared" if i % 2 == 0 else "private"
        steps.append(schema.Convert(guest="g", offset=0, size=4096, to=to, at=i * 1000))
    guest = GuestSpec(name="g", memory=G, backing=G)
    run = Run(Scenario(title="flip", host=HostSpec(hugetlb={G: 1}), guests=(guest,), workload=tuple(steps)))
    recorder = LayoutRecorder(run, frames=16)
    watched(run, recorder)
    layout = recorder.result()
    (found,) = layout.guests
    assert len(layout.times) <= 16
    assert (found.finest[1:].sum(axis=1) == [1 << 18, 0, 0, 0, 0]).all()
    assert found.shared[2:, 0].all()
    assert found.left[-1].sum(axis=0).tolist() == [0, 0, 0, 0, 1 << 18]
    assert found.most.tolist() == [1 << 18, 0, 0, 0, 1 << 18]


def test_calls_of_nobody_outside_of_the_file_and_after_the_end_change_no_cell() -> None:
    steps: tuple[schema.Step, ...] = (
        schema.Allocate(guest="g", offset=0, size=2 * M),
        schema.Wait(duration=5),
        schema.Convert(guest="g", offset=4 * M, size=4096, to="shared"),
        schema.Convert(guest="g", offset=4096, size=4096, to="shared", at=10),
        schema.Close(guest="g", at=20),
    )
    guest = GuestSpec(name="g", memory=2 * M, backing=2 * M)
    run = Run(Scenario(title="end", host=HostSpec(hugetlb={2 * M: 1}), guests=(guest,), workload=steps))
    recorder, slow = LayoutRecorder(run), Slow(run)
    watched(run, recorder, slow)
    (found,) = recorder.result().guests
    assert found.failed == 1
    assert found.most.tolist() == [512, 0, 512, 0, 0]
    assert [int(pages.sum()) for pages in found.left] == [0, 512, 512, 0]
    assert found.shared.any(axis=1).tolist() == [False, False, True, True]
    assert not found.shared_left[-1].any()


def test_guests_that_fail_and_hold_most_are_shown_of_many() -> None:
    kinds = [GuestSpec(name=name, memory=2 * M, backing=2 * M, count=20) for name in ("a", "b", "c", "d")]
    steps: list[schema.Step] = [schema.Allocate(guest=kind.name, offset=0, size=2 * M) for kind in kinds]
    steps += [schema.Convert(guest="b-3", offset=0, size=4096, to="shared")]
    steps += [schema.Convert(guest="a-1", offset=0, size=4096, to="shared")]
    steps += [schema.Pin(guest="a-1", offset=0, size=4096), schema.Pin(guest="b-3", offset=0, size=4096)]
    steps += [schema.Convert(guest="a-1", offset=0, size=4096, to="private")]  # EAGAIN
    run = Run(Scenario(title="many", host=HostSpec(hugetlb={2 * M: 80}), guests=tuple(kinds), workload=tuple(steps)))
    recorder = LayoutRecorder(run)
    watched(run, recorder)
    layout = recorder.result()
    assert (layout.watched, layout.total) == (MOST_WATCHED, 80)
    names = [found.guest for found in layout.guests]
    assert len(names) == MOST_GUESTS
    assert {"a-1", "b-3", "c-0", "d-0"} <= set(names)
    assert {found.guest: found.failed for found in layout.guests}["a-1"] == 1


def test_guests_that_fail_do_not_take_the_places_of_those_that_hold_most() -> None:
    kind = GuestSpec(name="g", memory=2 * M, backing=2 * M, count=20)
    steps: list[schema.Step] = [schema.Allocate(guest="g", offset=0, size=2 * M)]
    steps += [schema.Convert(guest=f"g-{i}", offset=0, size=4096, to="shared") for i in range(12)]
    steps += [schema.Pin(guest=f"g-{i}", offset=0, size=4096) for i in range(12)]
    for i in range(12, 20):
        steps += [schema.PunchHole(guest=f"g-{i}", offset=0, size=4096)] * 2  # EINVAL: no whole hugepage
    run = Run(Scenario(title="many", host=HostSpec(hugetlb={2 * M: 20}), guests=(kind,), workload=tuple(steps)))
    recorder = LayoutRecorder(run)
    watched(run, recorder)
    shown = recorder.result().guests
    assert sum(found.failed > 0 for found in shown) == MOST_FAILING
    assert len(shown) == MOST_GUESTS


@pytest.mark.parametrize("policy", ["b-today", "staged-reoptimize", "nonuniform"])
def test_holdings_are_what_the_ledger_has(policy: str) -> None:
    """At every call's end, at the highest instant, and when deferred frees have come back."""
    run = Run(scenario(policy, G, 3, 5, steps=80))
    recorder = HoldingsRecorder(run)
    after: dict[int, tuple[str, tuple[int, ...]]] = {}
    for event in run:
        recorder.see(event)
        assert event.guest is not None
        tallies = run.host.ledger.guest_tallies(event.guest).values()
        after[len(run.timeline.events) - 1] = event.guest, tuple(tally.live_bytes for tally in tallies)
    holdings = recorder.result()
    assert list(holdings.guests) == list(run.guests)
    for name, held in holdings.guests.items():
        assert held.peak.total == run.host.ledger.guest_total(name).peak_bytes
        assert [point.time_ns for point in held.points] == sorted(point.time_ns for point in held.points)
        tallies = run.host.ledger.guest_tallies(name).values()
        assert held.points[-1].row == tuple(tally.live_bytes for tally in tallies)
        events = run.timeline.events
        left = {p.event: p.row for p in held.points if p.event >= 0 and p.time_ns == events[p.event].time_ns}
        for number, row in left.items():
            assert after[number] == (name, row)


def test_samples_before_a_call_are_no_part_of_it() -> None:
    """Two merges' frees come back before a call that is refused: it adds no sample to theirs."""
    steps: list[schema.Step] = [schema.Allocate(guest="g", offset=0, size=4 * M)]
    for at, offset in enumerate((0, 2 * M), 1):
        to_shared, to_private = (
            schema.Convert(guest="g", at=at * 1000, offset=offset, size=4096, to=to) for to in ("shared", "private")
        )
        steps += [to_shared, to_private]
    steps.append(schema.Pin(guest="g", at=10**9, offset=0, size=0))
    guest = GuestSpec(name="g", memory=4 * M, backing=2 * M)
    host = HostSpec(hugetlb={2 * M: 2}, rcu_grace=10**6)
    run = Run(Scenario(title="late", host=host, guests=(guest,), workload=tuple(steps)))
    recorder = HoldingsRecorder(run)
    watched(run, recorder)
    points = recorder.result().guests["g"].points
    assert points[-1].time_ns < 10**9
    tallies = run.host.ledger.guest_tallies("g").values()
    assert points[-1].row == tuple(tally.live_bytes for tally in tallies)


def test_holdings_stay_bounded_and_keep_the_peak() -> None:
    steps: list[schema.Step] = [schema.Allocate(guest="g", offset=0, size=2 * G)]
    for i in range(3 * POINTS):
        to: schema.State = "shared" if i % 2 == 0 else "private"
        size = 2 * G if i == POINTS else 4096
        steps.append(schema.Convert(guest="g", offset=0, size=size, to=to, at=i * 1000))
    guest = GuestSpec(name="g", memory=2 * G, backing=G)
    run = Run(Scenario(title="flip", host=HostSpec(hugetlb={G: 2}), guests=(guest,), workload=tuple(steps)))
    recorder = HoldingsRecorder(run)
    watched(run, recorder)
    held = recorder.result().guests["g"]
    assert len(held.points) <= POINTS
    assert held.peak in held.points
    gaps = [after.time_ns - before.time_ns for before, after in pairwise(held.points)]
    assert max(gaps) <= 100_000, "the beginning of the run is as fine as its end"
    assert held.peak.total == run.host.ledger.guest_total("g").peak_bytes
    assert held.first_shared is not None
    assert held.first_shared[1] == 4096
    assert held.first_shared[0] == 4161 * 576 + 4095 * 4096


class Count:
    """Nodes by level, and in all, after every event."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.seen: list[tuple[Counter[int], int]] = []

    def see(self, event: Event) -> None:
        guests = [guest for guest in self._run.guests.values() if not guest.closed]
        levels = (guest.census().nodes for guest in guests)
        self.seen.append((sum(levels, Counter[int]()), sum(guest.nodes() for guest in guests)))

    def result(self) -> list[tuple[Counter[int], int]]:
        return self.seen


@pytest.mark.parametrize("policy", ["b-today", "staged", "nonuniform"])
def test_a_census_counts_every_node_slot_and_leaf(policy: str) -> None:
    run = Run(scenario(policy, G, 2, 1))
    recorder, counted = CensusRecorder(run), Count(run)
    watched(run, recorder, counted)
    census = recorder.result()
    assert len(census.rows) > 10
    for row in census.rows[1:]:
        nodes, total = counted.seen[row.event]
        assert row.nodes == nodes
        assert row.total == total
        assert all(0 < row.slots_used[shift] <= census.slots * number for shift, number in nodes.items())


def test_a_census_counts_mappings() -> None:
    steps = (
        schema.FaultIn(guest="g", offset=0, size=G),
        schema.Convert(guest="g", offset=2 * M, size=M, to="shared", at=5),
        schema.FaultIn(guest="g", offset=2 * M, size=8192, by="host"),
        schema.FaultIn(guest="g", offset=0, size=G, by="guest"),
    )
    guest = GuestSpec(name="g", memory=G, backing=G, policy=PRESETS["staged"].policy)
    run = Run(Scenario(title="map", host=HostSpec(hugetlb={G: 1}), guests=(guest,), workload=steps))
    recorder = CensusRecorder(run)
    watched(run, recorder)
    rows = recorder.result().rows
    assert [dict(+row.guest_leaves) for row in rows[:2]] == [{}, {18: 1}]
    assert dict(+rows[-1].guest_leaves) == {0: 512, 9: 511}
    assert rows[-1].host_pages == 2


def test_a_census_keeps_the_highest_and_stays_bounded() -> None:
    run = Run(scenario("staged", G, 1, 3, steps=400))
    recorder, counted = CensusRecorder(run, frames=16), Count(run)
    watched(run, recorder, counted)
    rows = recorder.result().rows
    assert len(rows) <= 2 * 16 + 1
    assert [row.time_ns for row in rows] == sorted(row.time_ns for row in rows)
    assert max(row.total for row in rows) >= max(total for _, total in counted.seen) / RISE


def test_censuses_that_are_dear_are_few() -> None:
    run = Run(scenario("staged", G, 1, 3, steps=200))
    dear, counted = CensusRecorder(run, visits=1, free_visits=0), Count(run)
    watched(run, dear, counted)
    rows = dear.result().rows
    assert 2 < len(rows) < 40 < len(counted.seen)
    assert [row.total for row in rows[1:]] == [counted.seen[row.event][1] for row in rows[1:]]


def test_of_many_guests_nodes_are_not_added_up_at_every_event() -> None:
    """With 32 guests at every third: so only there a census is taken in the middle of a frame."""
    late: list[int] = []
    for seed in range(8):
        run = Run(scenario("staged", 2 * M, 32, seed, steps=90))
        recorder = CensusRecorder(run, frames=4)
        watched(run, recorder)
        *rows, _ = recorder.result().rows  # the last is how it ended
        late += [row.event for row in rows if row.event > recorder._frames.events[-1]]
    assert late
    assert not any(event % 3 for event in late)
