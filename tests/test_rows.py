# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of integers, and a timeline that keeps some of its events: against lists."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.garbage import THRESHOLDS, fewer_collections
from gmemsim.results.rows import Rows
from gmemsim.results.timeline import TOTAL, Event, Timeline
from gmemsim.scenario.format.load import load_scenario
from gmemsim.sim.run import Run

SCENARIOS = Path(__file__).parents[1] / "scenarios"
INT64 = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-2, 300), st.integers(0, 50).map(lambda n: n * 576))


@given(st.lists(st.lists(INT64, min_size=3, max_size=3), max_size=30))
def test_rows_come_back_as_they_went_in(table: list[list[int]]) -> None:
    rows = Rows(3, block=4)
    for row in table:
        rows.append(rows.pack(*row))
    assert len(rows) == len(table)
    assert list(rows.rows()) == rows.table().tolist() == table
    assert [rows.row(i) for i in range(len(table))] == table
    assert list(rows.rows(start=5)) == table[5:]
    assert rows.table(2, 0).tolist() == [[row[2], row[0]] for row in table]


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 2**40)), max_size=30), st.data())
def test_running_columns_come_back_as_differences(table: list[tuple[int, int]], data: st.DataObject) -> None:
    rows, total = Rows(2, running=1, block=4), 0
    chosen = sorted(data.draw(st.sets(st.integers(0, len(table) - 1))) if table else ())
    for value, step in table:
        total += step
        rows.append(rows.pack(value, total))
    expected = [list(row) for row in table]
    assert list(rows.rows()) == rows.table().tolist() == [rows.row(i) for i in range(len(table))] == expected
    rows.keep(np.array(chosen, dtype=np.int64))
    rows.append(rows.pack(7, total + 3))
    expected = [*(expected[i] for i in chosen), [7, 3]]
    assert list(rows.rows()) == rows.table().tolist() == [rows.row(i) for i in range(len(expected))] == expected


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=1500))
def test_a_timeline_that_keeps_some_events_keeps_the_peaks(states: list[tuple[int, int]]) -> None:
    whole, some = Timeline(["nodes", "vmemmap"], ["4K"]), Timeline(["nodes", "vmemmap"], ["4K"], keep=100)
    for number, (nodes, vmemmap) in enumerate(states):
        for timeline in (whole, some):
            timeline.sample(number, [nodes + 1, vmemmap], [0])
            timeline.sample(number, [nodes, vmemmap], [number])
            timeline.event(Event(number, number, None, "convert", "vm0"))
    assert len(some.events) <= 100
    assert len(some) <= 2 * 101 + 3
    assert len(some.events) + some.events.dropped == len(states)
    assert len(some) + some.dropped_samples == len(whole)
    for name in ("nodes", "vmemmap", TOTAL):
        exact, kept = whole.peaks()[name], some.peaks()[name]
        assert (kept.value, kept.time_ns) == (exact.value, exact.time_ns)
        if exact.event is not None:
            assert kept.event is not None
            assert some.events[kept.event] == whole.events[exact.event]
    assert some.events[-1] == whole.events[-1]
    stored = list(zip(*whole.columns().values(), strict=True))
    assert set(zip(*some.columns().values(), strict=True)) <= set(stored)
    assert (np.diff(some.owners()) >= 0).all()


def test_a_run_that_keeps_some_events_has_the_same_summary() -> None:
    scenario = load_scenario(SCENARIOS / "boot-16g-2m.yaml")
    whole, some = Run(scenario), Run(scenario, keep=100)
    for run in (whole, some):
        for _ in run.calls():
            pass
    assert some.result().summary == whole.result().summary
    assert len(some.timeline.events) <= 100 < len(whole.timeline.events)
    every = list(whole.timeline.events)
    assert all(event in every for event in some.timeline.events)


def test_fewer_than_a_hundred_are_refused() -> None:
    with pytest.raises(ValueError, match="keep is 99, expected at least 100"):
        Timeline([], [], keep=99)


def test_collections_are_rarer_and_then_as_before() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with fewer_collections():
        assert gc.get_threshold() == THRESHOLDS
        assert gc.isenabled()
        with pytest.raises(KeyError), fewer_collections():
            raise KeyError
        assert gc.get_threshold() == THRESHOLDS
        assert gc.get_freeze_count() > frozen
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, frozen)


def test_who_has_switched_collection_off_keeps_it_off() -> None:
    before = gc.get_threshold()
    gc.set_threshold(0)
    try:
        with fewer_collections():
            assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*before)
