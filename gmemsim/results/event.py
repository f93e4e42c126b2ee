# SPDX-License-Identifier: GPL-2.0-or-later
"""What a timeline tells of a run: events and peaks, as values.

What may live here: values only, made when somebody asks.  How events are kept is :mod:`gmemsim.results.timeline`'s,
which may be compiled, as attrs classes may not.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import attrs

from gmemsim.host.work import Work

NONE: Final = -1
"""Stands for an offset or a size that an event does not have."""


@attrs.frozen
class Event:
    """One step that was carried out, successfully or not.

    ``time_ns`` is the simulated time of the step; ``step`` counts the steps of the run from 0; ``id`` is the step's
    name in the scenario; ``kind`` is the step's key there (``"convert"``, ``"allocate"``, …); ``offset`` and ``size``
    are bytes in the guest's memory; ``detail`` is what else tells it apart (``"to shared"``).  For a step that failed,
    ``errno`` is the errno's name and ``error_offset`` the byte at which it stopped, where the call has one.  ``work``
    is what it made the host do.  ``guest`` is the name of the guest that it was carried out on, ``None`` if it was on
    none.
    """

    time_ns: int
    step: int
    id: str | None
    kind: str
    guest: str | None = None
    offset: int | None = None
    size: int | None = None
    detail: str = ""
    errno: str | None = None
    error_offset: int | None = None
    work: Work | None = None


@attrs.frozen
class Peak:
    """The highest ``value`` of an account (bytes), ``time_ns`` when it was first reached, and the index of its
    ``event``.

    ``event`` is ``None`` where no step caused it: before the first sample, or after the last event.
    """

    value: int
    time_ns: int
    event: int | None


class Label(NamedTuple):
    """What tells events apart in words, and whether they did any work: equal for most events of a run.

    ``id``, ``kind``, ``guest``, ``detail`` and ``errno`` are those of :class:`Event`; ``works`` is whether it has work.
    """

    id: str | None
    kind: str
    guest: str | None
    detail: str
    errno: str | None
    works: bool
