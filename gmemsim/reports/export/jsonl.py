# SPDX-License-Identifier: GPL-2.0-or-later
"""The timeline as JSON Lines: one object a sample and one an event, in the order in which they happened.

A reader tells them apart by ``type``; pandas reads the file with ``read_json(path, lines=True)``.

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
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import attrs

from gmemsim.host.work import COUNTERS
from gmemsim.reports.views import View
from gmemsim.results.timeline import Event, Timeline


def write(view: View, path: Path) -> None:
    """Write the timeline of the run to ``path``."""
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.writelines(lines(view.result.timeline))


def lines(timeline: Timeline) -> Iterator[str]:
    """The lines of the file, each with its newline."""
    columns = timeline.columns()
    keys = ", ".join(f"{json.dumps(name)}: %d" for name in columns)
    template = f'{{"type": "sample", {keys}}}\n'
    told = 0
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    for owner, row in zip(timeline.owners().tolist(), rows, strict=True):
        yield from map(_event, timeline.events[told:owner])
        told = owner
        yield template % row
    yield from map(_event, timeline.events[told:])


def _event(event: Event) -> str:
    fields = attrs.asdict(event, recurse=False)
    counts = () if event.work is None else zip(COUNTERS, event.work.counts(), strict=True)
    fields["work"] = {name: count for name, count in counts if count}
    return json.dumps({"type": "event", **fields}) + "\n"
