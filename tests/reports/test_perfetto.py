# SPDX-License-Identifier: GPL-2.0-or-later
"""The trace for ui.perfetto.dev, read back packet by packet."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from gmemsim.host.costs import PROFILES
from gmemsim.results.pricing import call_times
from gmemsim.results.timeline import TOTAL

from . import views

proto = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2", reason="needs the extra perfetto")

from gmemsim.reports.export import perfetto  # noqa: E402 - needs the package that may be missing


def trace(scenario: str, directory: Path) -> Any:
    path = directory / "t.pftrace"
    perfetto.write(views.view(scenario), path)
    read = proto.Trace()
    read.ParseFromString(path.read_bytes())
    return read


def tracks(read: Any) -> dict[int, Any]:
    return {p.track_descriptor.uuid: p.track_descriptor for p in read.packet if p.HasField("track_descriptor")}


def test_every_account_has_a_counter_with_the_timeline_s_values(tmp_path: Path) -> None:
    read, timeline = trace("everything", tmp_path), views.view("everything").result.timeline
    counters = {d.name: uuid for uuid, d in tracks(read).items() if d.HasField("counter")}
    used = [name for name in timeline.accounts if timeline.columns()[name].any()]
    assert set(counters) == {f"{'≈ ' if name == 'attributes' else ''}{name} [bytes]" for name in (*used, TOTAL)}
    values = defaultdict(list)
    for packet in read.packet:
        if packet.track_event.type == proto.TrackEvent.TYPE_COUNTER:
            values[packet.track_event.track_uuid].append((packet.timestamp, packet.track_event.counter_value))
    columns = timeline.columns()
    told = values[counters["total [bytes]"]]
    rows = list(zip(columns["time_ns"].tolist(), columns[TOTAL].tolist(), strict=True))
    assert told == [row for i, row in enumerate(rows) if not i or row[1] != rows[i - 1][1]]


@pytest.mark.parametrize("scenario", ["everything", "busy", "no time"])
def test_every_call_is_a_slice_with_its_phases_one_behind_the_other(scenario: str, tmp_path: Path) -> None:
    read, result = trace(scenario, tmp_path), views.view(scenario).result
    named = {uuid: descriptor.name for uuid, descriptor in tracks(read).items()}
    stacks: dict[int, list[tuple[str, int]]] = defaultdict(list)
    last: dict[int, int] = defaultdict(int)
    calls: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    phases: set[str] = set()
    simulated: dict[str, list[int]] = defaultdict(list)
    for packet in read.packet:
        event = packet.track_event
        track = event.track_uuid
        if event.type == proto.TrackEvent.TYPE_SLICE_BEGIN:
            stacks[track].append((event.name, packet.timestamp))
            notes = {note.name: getattr(note, note.WhichOneof("value")) for note in event.debug_annotations}
            if len(stacks[track]) == 1:
                assert notes["duration"] == "modelled, an estimate"
                simulated[named[track]].append(notes["simulated_time_ns"])
            else:
                phases.add(event.name)
        elif event.type == proto.TrackEvent.TYPE_SLICE_END:
            name, begin = stacks[track].pop()
            if not stacks[track]:
                calls[named[track]].append((name, begin, packet.timestamp))
        else:
            continue
        assert packet.timestamp >= last[track]
        last[track] = packet.timestamp
    assert not any(stacks.values())
    assert all(phase.startswith("≈ ") for phase in phases)
    assert {"≈ split", "≈ store", "≈ vmemmap", "≈ nodes", "≈ convert"} <= phases
    times = call_times(result.timeline.events, PROFILES["default"])
    for guest in {event.guest for event in result.timeline.events if event.guest}:
        own = [(e, t) for e, t in zip(result.timeline.events, times, strict=True) if e.guest == guest]
        told = calls[f"guest {guest}"]
        assert len(told) == len(own)
        assert simulated[f"guest {guest}"] == [event.time_ns for event, _ in own]
        for (name, begin, end), (event, ns) in zip(told, own, strict=True):
            assert name.startswith(event.kind)
            assert begin >= event.time_ns
            assert end - begin == pytest.approx(ns, abs=len(perfetto.PHASES))


def test_one_sequence_that_starts_anew(tmp_path: Path) -> None:
    read = trace("idle", tmp_path)
    assert {packet.trusted_packet_sequence_id for packet in read.packet} == {perfetto.SEQUENCE}
    assert read.packet[0].sequence_flags == proto.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
