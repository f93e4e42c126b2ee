# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.host.work import Work
from gmemsim.results.timeline import TOTAL, Event, Peak, Timeline


def convert(time_ns: int, step: int) -> Event:
    return Event(time_ns=time_ns, step=step, id=None, kind="convert", guest="vm0", detail="to shared")


def small() -> Timeline:
    timeline = Timeline(["nodes", "vmemmap"], ["4K", "1G"])
    timeline.sample(0, [0, 0], [0, 0])
    timeline.sample(10, [5, 7], [0, 1])
    timeline.event(convert(10, 0))
    timeline.sample(20, [9, 1], [3, 0])
    timeline.sample(20, [2, 1], [3, 0])
    timeline.event(convert(20, 1))
    timeline.end(50)
    return timeline


def test_columns_carry_time_accounts_and_folios() -> None:
    columns = small().columns()
    assert {name: values.tolist() for name, values in columns.items()} == {
        "time_ns": [0, 10, 20, 20],
        "nodes": [0, 5, 9, 2],
        "vmemmap": [0, 7, 1, 1],
        "total": [0, 12, 10, 3],
        "folios.4K": [0, 0, 3, 3],
        "folios.1G": [0, 1, 0, 0],
    }
    assert all(values.dtype == "int64" for values in columns.values())
    for name in ("nodes", "vmemmap", "folios.4K", "folios.1G"):
        assert small().column(name).tolist() == columns[name].tolist()
    with pytest.raises(ValueError, match="not in list"):
        small().column(TOTAL)


def test_peaks_name_the_event_recorded_after_the_sample() -> None:
    assert small().peaks() == {
        "nodes": Peak(9, 20, 1),
        "vmemmap": Peak(7, 10, 0),
        TOTAL: Peak(12, 10, 0),
    }


def test_a_peak_after_the_last_event_or_of_nothing_has_no_cause() -> None:
    timeline = Timeline(["nodes", "vmemmap"], ["4K"])
    timeline.sample(0, [0, 1], [0])
    assert timeline.peaks()["nodes"] == Peak(0, 0, None)
    assert timeline.peaks()["vmemmap"] == Peak(1, 0, None)
    timeline.event(convert(0, 0))
    assert timeline.peaks()["vmemmap"] == Peak(1, 0, 0)
    assert timeline.peaks()["nodes"] == Peak(0, 0, None)


def test_without_samples_there_are_columns_but_no_peaks() -> None:
    timeline = Timeline(["nodes"], ["4K"])
    assert timeline.peaks() == {}
    assert len(timeline) == 0
    assert {len(values) for values in timeline.columns().values()} == {0}


def test_sampling_goes_on_after_columns_were_read() -> None:
    timeline = small()
    columns = timeline.columns()
    timeline.sample(60, [1, 1], [0, 0])
    assert len(columns["time_ns"]) == 4
    assert len(timeline) == len(timeline.columns()["time_ns"]) == 5


def test_columns_of_events_say_what_the_events_say() -> None:
    timeline = small()
    timeline.event(Event(30, 2, None, "wait"))
    for conversions in (1, 0):
        timeline.event(attrs.evolve(convert(40, 3), work=Work(conversions=conversions)))
    events = timeline.events
    labels, number = events.labels()
    told = [(labels[i].kind, labels[i].detail, labels[i].works) for i in number.tolist()]
    assert told == [(event.kind, event.detail, event.work is not None) for event in events]
    assert events.work("conversions").tolist() == [0, 0, 0, 1, 0]
    assert events.times().tolist() == [10, 20, 30, 40, 40]
    assert timeline.times().tolist() == [0, 10, 20, 20]


def test_the_caller_may_reuse_its_lists() -> None:
    timeline = Timeline(["nodes"], ["4K"])
    live, folios = [1], [1]
    timeline.sample(0, live, folios)
    live[0] = 2
    timeline.sample(1, live, folios)
    assert timeline.columns()["nodes"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("live", "folios", "message"),
    [
        ([1], [1, 1], "needs 2 accounts and 2 orders, got 1 and 2"),
        ([1, 2], [], "got 2 and 0"),
        ([1], [1, 1, 1], "got 1 and 3"),
    ],
)
def test_a_sample_of_the_wrong_width_is_refused(live: list[int], folios: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().sample(60, live, folios)


def test_time_does_not_go_backwards() -> None:
    timeline = small()
    with pytest.raises(ValueError, match="time goes backwards: a sample at 19 ns after one at 20 ns"):
        timeline.sample(19, [0, 0], [0, 0])
    with pytest.raises(ValueError, match="cannot end at 19 ns: something happened at 20 ns"):
        timeline.end(19)
    timeline.event(convert(70, 2))
    with pytest.raises(ValueError, match="something happened at 70 ns"):
        timeline.end(69)


def test_events_are_values() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        convert(0, 0).kind = "close"  # type: ignore[misc]  # the point of the test


ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), max_size=40)


@given(ROWS)
def test_the_step_function_survives_dropped_repeats(rows: list[tuple[int, int, int, int]]) -> None:
    """The stored samples give the same value at every instant as all samples that were taken."""
    timeline = Timeline(["nodes", "vmemmap"], ["4K"])
    now, taken = 0, []
    for wait, nodes, vmemmap, folios in rows:
        now += wait
        timeline.sample(now, [nodes, vmemmap], [folios])
        taken.append((now, nodes, vmemmap, nodes + vmemmap, folios))
    stored = [tuple(int(v) for v in row) for row in zip(*timeline.columns().values(), strict=True)]
    assert len(stored) == len(timeline)
    for instant in range(now + 2):
        assert [row[1:] for row in stored if row[0] <= instant][-1:] == [row[1:] for row in taken if row[0] <= instant][
            -1:
        ]
    assert [row[3] for row in stored] == [row[1] + row[2] for row in stored]
    if taken:
        assert timeline.peaks()[TOTAL].value == max(row[3] for row in taken)
        assert timeline.peaks()["nodes"].value == max(row[1] for row in taken)


def test_a_million_samples_are_kept() -> None:
    timeline = Timeline([f"account{i}" for i in range(8)], ["4K", "2M", "1G"])
    live, folios = [1 << 40] * 8, [1 << 30, 512, 1]
    for i in range(1_000_000):
        live[0] = i
        timeline.sample(i, live, folios)
    assert len(timeline) == 1_000_000
