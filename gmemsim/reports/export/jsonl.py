# SPDX-License-Identifier: GPL-2.0-or-later
"""The timeline as JSON Lines: one object a sample and one an event, in the order in which they happened.

A reader tells them apart by ``type``; pandas reads the file with ``read_json(path, lines=True)``.  A file whose name
ends in ``.gz`` or ``.zst`` is compressed (``export.packing``), to a tenth or less.

``"type": "run"``: the first line; ``title``, ``seed`` and the keys of the summary's ``provenance``

``"type": "sample"``: the state from ``time_ns`` on, until the next sample

    ================  ==========================================================================================
    ``time_ns``       simulated time, nanoseconds
    *ACCOUNT*         bytes that the account holds, one key for every account (``filemap_nodes``, ``vmemmap``, …)
    ``total``         the sum of all accounts, bytes
    ``folios.ORDER``  folios of that size, one key for every order (``folios.4K``, ``folios.1G``, …)
    ================  ==========================================================================================

``"type": "event"``: a step; the samples taken while it ran stand before it

    ================  ==========================================================================================
    ``time_ns``       simulated time, nanoseconds
    ``step``          number of the step, from 0
    ``id``            the step's name in the scenario, or null
    ``kind``          ``"convert"``, ``"allocate"``, …
    ``guest``         the guest's name, or null
    ``offset``        first byte in the guest's memory, or null
    ``size``          bytes, or null
    ``detail``        what else tells the step apart: ``"to shared"``
    ``errno``         how it failed (``"EAGAIN"``), or null
    ``error_offset``  the byte at which it stopped, or null
    ``work``          what it made the host do: an object of the counters that are not zero
    ================  ==========================================================================================

``"type": "dropped"``: the last line, only if the run was told to keep fewer (``--keep-events``)

    ================  ==========================================================================================
    ``events``        events that happened and are not in this file
    ``samples``       samples that were taken and are not in this file; every account's highest is
    ================  ==========================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gmemsim.host.work import COUNTERS
from gmemsim.reports.export.packing import open_text
from gmemsim.reports.views import View
from gmemsim.results.timeline import NONE, ROW, TOTAL, Label, Timeline

_LINES: Final = 4096
"""Lines that are joined before they are written."""

_KEPT: Final = 4096
"""Texts of works that are kept: most calls of a run do the same work as one before."""


def write(view: View, path: Path) -> None:
    """Write the timeline of the run to ``path``, compressed if its name says so."""
    timeline, summary = view.result.timeline, view.result.summary
    run = {"type": "run", "title": summary["title"], "seed": summary["seed"], **summary.get("provenance", {})}
    with open_text(path) as out:
        out.write(f"{json.dumps(run, separators=(',', ':'))}\n")
        out.writelines(_joined(timeline))


def _joined(timeline: Timeline) -> Iterator[str]:
    pending: list[str] = []
    for line in lines(timeline):
        pending.append(line)
        if len(pending) == _LINES:
            yield "".join(pending)
            pending.clear()
    yield "".join(pending)


def lines(timeline: Timeline) -> Iterator[str]:
    """The lines of the file, each with its newline."""
    names = ("time_ns", *timeline.accounts, TOTAL, *(f"folios.{order}" for order in timeline.orders))
    template = f'{{"type":"sample",{",".join(f"{_text(name)}:%d" for name in names)}}}\n'
    end = 1 + len(timeline.accounts)
    events = _Events(timeline).lines()
    told = 0
    for owner, row in timeline.samples():
        while told < owner and (line := next(events, None)) is not None:
            yield line
            told += 1
        yield template % (*row[:end], sum(row[1:end]), *row[end:])
    yield from events
    if timeline.events.dropped:
        dropped = f'"events":{timeline.events.dropped},"samples":{timeline.dropped_samples}'
        yield f'{{"type":"dropped",{dropped}}}\n'


def _text(value: object) -> str:
    return json.dumps(value)


class _Events:
    """The lines of the events of ``timeline``: what equal events share is made into text once."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._around: dict[int, tuple[str, str]] = {}  # by the label's number
        self._works: dict[tuple[int, ...], str] = {}

    def lines(self) -> Iterator[str]:
        head = len(ROW)
        for label, row in self._timeline.events.rows():
            time_ns, step, number, offset, size, error_offset = row[:head]
            if number not in self._around:
                self._around[number] = self._words(label)
            names, words = self._around[number]
            at = "null" if offset == NONE else offset
            bytes_ = "null" if size == NONE else size
            error = "null" if error_offset == NONE else error_offset
            work = self._work(tuple(row[head:]))
            yield (
                f'{{"type":"event","time_ns":{time_ns},"step":{step},{names},"offset":{at},"size":{bytes_},'
                f'{words},"error_offset":{error},"work":{work}}}\n'
            )

    @staticmethod
    def _words(label: Label) -> tuple[str, str]:
        """What stands before the offset, and what between the size and the offset of an error."""
        names = f'"id":{_text(label.id)},"kind":{_text(label.kind)},"guest":{_text(label.guest)}'
        return names, f'"detail":{_text(label.detail)},"errno":{_text(label.errno)}'

    def _work(self, counts: tuple[int, ...]) -> str:
        text = self._works.get(counts)
        if text is None:
            done = (f'"{name}":{count}' for name, count in zip(COUNTERS, counts, strict=True) if count)
            text = f"{{{','.join(done)}}}"
            if len(self._works) < _KEPT:
                self._works[counts] = text
        return text
