# SPDX-License-Identifier: GPL-2.0-or-later
"""The run as a trace that ui.perfetto.dev opens; needs the extra ``perfetto``.

Theory of operation
-------------------
One track for the host, with a counter for every account that was used (bytes) and for their sum; one track for every
guest that did anything, with a slice for each of its calls and, within it, one for each phase of the call.

Counters are exact, and so is the time at which a call begins.  How long it takes is **modelled**, an estimate, as every
slice's annotations say: calls take no simulated time.  Calls of one guest that begin before the modelled end of the one
before them are drawn behind it; ``simulated_time_ns`` is when they really were.

The file is written packet by packet, since a trace of a million calls would not fit into memory as objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import CounterDescriptor, TracePacket, TrackEvent
from perfetto.trace_builder.proto_builder import StreamingTraceProtoBuilder

from gmemsim.reports import Reportable
from gmemsim.reports.views import View
from gmemsim.reports.words import ESTIMATE, account_label, provenance
from gmemsim.results.pricing import PHASE_NAMES, phase_times, profile_of
from gmemsim.results.timeline import TOTAL, Event
from gmemsim.units import size_name

SEQUENCE = 1
"""The one packet sequence of the trace; its ids are ours to choose."""

HOST_TRACK = 1
"""Identifier of the host's track; counters and guests follow."""

PHASES = (
    *(
        "exit",
        "convert",
        "unmap",
        "demote",
        "kick",
        "zap",
        "nodes",
        "vmemmap",
        "split",
        "store",
        "merge",
        "zero",
        "tlb",
    ),
    *("rcu", "allocate", "clear", "accept", "rmp"),
)
"""The phases of a call in the order in which the kernel gets to them, as far as they have one."""

assert set(PHASES) == set(PHASE_NAMES)


def write(view: View, path: Path) -> None:
    """Write the trace of the run to ``path``."""
    with path.open("wb") as out:
        builder = StreamingTraceProtoBuilder(out)
        for number, packet in enumerate(_packets(view.result)):
            packet.trusted_packet_sequence_id = SEQUENCE
            if not number:
                packet.sequence_flags = TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
            builder.write_packet(packet)


def _packets(result: Reportable) -> Iterator[TracePacket]:
    timeline = result.timeline
    columns = timeline.columns()
    yield _track(HOST_TRACK, f"host: {result.summary['title']}")
    if made := provenance([result.summary]):
        yield _slice(TrackEvent.TYPE_INSTANT, HOST_TRACK, 0, f"made by {made}")
    accounts = [name for name in (TOTAL, *timeline.accounts) if columns[name].any()]
    for i, account in enumerate(accounts):
        yield _counter_track(HOST_TRACK + 1 + i, account)
    guests = dict.fromkeys(event.guest for event in timeline.events if event.guest)
    tracks = {guest: HOST_TRACK + 1 + len(accounts) + i for i, guest in enumerate(guests)}
    for guest, track in tracks.items():
        yield _track(track, f"guest {guest}")
    for i, account in enumerate(accounts):
        yield from _counter(HOST_TRACK + 1 + i, columns["time_ns"].tolist(), columns[account].tolist())
    yield from _calls(result, tracks)


def _track(track: int, name: str) -> TracePacket:
    packet = TracePacket()
    packet.track_descriptor.uuid = track
    packet.track_descriptor.name = name
    return packet


def _counter_track(track: int, account: str) -> TracePacket:
    packet = _track(track, f"{account_label(account)} [bytes]")
    packet.track_descriptor.parent_uuid = HOST_TRACK
    packet.track_descriptor.counter.unit = CounterDescriptor.UNIT_SIZE_BYTES
    return packet


def _counter(track: int, times: list[int], values: list[int]) -> Iterator[TracePacket]:
    """A packet for every change."""
    last = None
    for time, value in zip(times, values, strict=True):
        if value != last:
            packet = TracePacket(timestamp=time)
            packet.track_event.type = TrackEvent.TYPE_COUNTER
            packet.track_event.track_uuid = track
            packet.track_event.counter_value = value
            yield packet
            last = value


def _calls(result: Reportable, tracks: dict[str, int]) -> Iterator[TracePacket]:
    """Slices of all calls, each guest's one behind the other."""
    order = [PHASE_NAMES.index(phase) for phase in PHASES]
    times = phase_times(result.timeline.events, profile_of(result.summary))[:, order].tolist()
    free = dict.fromkeys(tracks.values(), 0)  # when the last slice of a track ends
    for event, phases in zip(result.timeline.events, times, strict=True):
        if event.guest is None:
            continue
        track = tracks[event.guest]
        begin = max(event.time_ns, free[track])
        yield _begin(track, begin, event)
        end = begin
        for phase, ns in zip(PHASES, phases, strict=True):
            if ns:
                yield _slice(TrackEvent.TYPE_SLICE_BEGIN, track, end, f"{ESTIMATE} {phase}")
                end += max(1, round(ns))
                yield _slice(TrackEvent.TYPE_SLICE_END, track, end)
        yield _slice(TrackEvent.TYPE_SLICE_END, track, end)
        free[track] = end


def _begin(track: int, time: int, event: Event) -> TracePacket:
    """The beginning of a call, with all that is known of it."""
    words = (event.kind, None if event.size is None else size_name(event.size), event.detail)
    what = " ".join(filter(None, words))
    packet = _slice(TrackEvent.TYPE_SLICE_BEGIN, track, time, f"{what}, {event.errno}" if event.errno else what)
    _annotate(packet, "duration", "modelled, an estimate")
    _annotate(packet, "simulated_time_ns", event.time_ns)
    for name in ("step", "id", "offset", "size", "errno", "error_offset"):
        value = getattr(event, name)
        if value is not None:
            _annotate(packet, name, value)
    return packet


def _slice(kind: int, track: int, time: int, name: str | None = None) -> TracePacket:
    packet = TracePacket(timestamp=time)
    packet.track_event.type = kind
    packet.track_event.track_uuid = track
    if name is not None:
        packet.track_event.name = name
    return packet


def _annotate(packet: TracePacket, name: str, value: int | str) -> None:
    annotation = packet.track_event.debug_annotations.add()
    annotation.name = name
    if isinstance(value, str):
        annotation.string_value = value
    else:
        annotation.int_value = value
