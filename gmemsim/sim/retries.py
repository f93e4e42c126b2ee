# SPDX-License-Identifier: GPL-2.0-or-later
"""Conversions that are tried again: which, when, and how often that was done.

Theory of operation
-------------------
A conversion with a ``retry`` that fails with EAGAIN or ENOMEM waits here until its delay is over.  The run asks for
what is due before it carries out the next step, and for all that is left before a step of the workload ends; so other
steps of a generator go on meanwhile, and what follows a step waits until its conversions have succeeded or are given
up.  Every try is a call of its own and is counted as one.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator

import attrs

from gmemsim.scenario.model import Convert

TRANSIENT = frozenset(("EAGAIN", "ENOMEM"))
"""What may be different the next time: a page in use, memory that ran out (DOMAIN.md section 4)."""


@attrs.frozen(order=True)
class Try:
    """One more try of ``step`` for the guest ``name`` at the time ``due`` (ns), after ``tried`` others.

    ``index`` is that of the step in the workload; ``number`` counts tries, so that of those due at one time the first
    comes first.
    """

    due: int
    number: int
    index: int = attrs.field(order=False)
    step: Convert = attrs.field(order=False)
    name: str = attrs.field(order=False)
    tried: int = attrs.field(order=False)


class Retries:
    """The tries to come, soonest first; ``counts`` says by guest how many there were, and what was given up."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.waiting: list[Try] = []
        """The tries to come, a heap."""
        self._number = 0

    def failed(self, now: int, index: int, step: Convert, name: str, tried: int) -> None:
        """Try number ``tried`` (from 0) of ``step``, number ``index`` of the workload, has failed at ``now`` (ns).

        ``name`` is the guest that was to be converted.  The next try waits from now on, unless that was the last.
        """
        retry = step.retry
        if retry is None:
            return
        counts = self.counts.setdefault(name, Counter())
        if tried == retry.times:
            counts["given_up"] += 1
            return
        counts["retried"] += 1
        self._number += 1
        heapq.heappush(self.waiting, Try(now + retry.delay, self._number, index, step, name, tried + 1))

    def due(self, until: int | None) -> Iterator[Try]:
        """What is due by ``until`` (``None``: all), soonest first; what fails meanwhile is seen too."""
        while self.waiting and (until is None or self.waiting[0].due <= until):
            yield heapq.heappop(self.waiting)
