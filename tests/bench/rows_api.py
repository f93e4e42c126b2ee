# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of a guest that is called directly, without a run: conversions of a 1 TiB guest on 1G hugepages."""

from __future__ import annotations

import cProfile
import pstats
import random
from collections import deque
from collections.abc import Callable

import gmemsim
from tests.bench.meter import VALGRIND, Meter, row

GIB, TIB = 1 << 30, 1 << 40
PAGE = 4096

LIVE = 1024
"""Pages that are shared at any time: one in each hugepage on average, so many conversions split or merge one."""

POLICIES = ("uniform", "staged", "nonuniform")


def guest_of(policy: str) -> gmemsim.GuestMemfd:
    """A guest that has all its memory."""
    host = gmemsim.Host(hugetlb={GIB: TIB // GIB})
    guest = gmemsim.GuestMemfd(host, "vm0", size=TIB, backing=GIB, policy=gmemsim.Policy(split=policy))
    guest.allocate(0, TIB)
    return guest


def conversions(guest: gmemsim.GuestMemfd, number: int) -> None:
    """Random pages become shared, and private again when :data:`LIVE` others are."""
    rng, shared = random.Random(1), deque[int]()
    for _ in range(number // 2):
        offset = rng.randrange(TIB // PAGE) * PAGE
        guest.set_attributes(offset, PAGE, private=False)
        shared.append(offset)
        if len(shared) > LIVE:
            guest.set_attributes(shared.popleft(), PAGE, private=True)
    while shared:
        guest.set_attributes(shared.popleft(), PAGE, private=True)


def _api(policy: str) -> Callable[[Meter], float]:
    def measure(meter: Meter) -> float:
        guest, number = guest_of(policy), meter.scale(10_000)
        return meter.seconds(lambda: conversions(guest, number)) / number * 1e6

    return measure


for _policy in POLICIES:
    row(f"api.{_policy}", "µs", f"a conversion, {_policy}, 1 TiB, GuestMemfd called directly")(_api(_policy))


def _calls(policy: str) -> Callable[[Meter], float]:
    def measure(meter: Meter) -> float:
        guest, number = guest_of(policy), meter.scale(4000)
        profile = cProfile.Profile()
        profile.runcall(conversions, guest, number)
        calls: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]  # not in typeshed
        return calls / number

    return measure


for _policy in POLICIES:
    row(
        f"calls.{_policy}",
        "calls",
        f"calls of functions in a conversion, {_policy}, as api.{_policy}: counted, so no load changes it",
        collections=False,
        sources=True,  # a profiler does not see what is compiled
    )(_calls(_policy))


def counted(of: str, prepare: str, call: str, policy: str) -> None:
    """A row of the machine instructions of a conversion, which ``call`` makes ``n`` of after ``prepare``."""

    @row(
        f"instructions.{of}.{policy}",
        "k",
        f"thousand machine instructions of a conversion, {policy}, as {of}.{policy}, without collections of garbage:"
        " counted, so no load changes it",
        collections=False,
        lacking=VALGRIND,
    )
    def measure(meter: Meter) -> float:
        number = 4000
        code = f"import gc, sys; gc.disable(); n = int(sys.argv[1]); {prepare}; {call}"
        return meter.instructions(code, number) / meter.scale(number) / 1000


for _policy in POLICIES:
    counted(
        "api",
        f"from tests.bench.rows_api import conversions, guest_of; guest = guest_of({_policy!r})",
        "conversions(guest, n)",
        _policy,
    )


@row("api.allocate", "µs", "a hugepage of a 1 TiB guest that is allocated")
def allocate(meter: Meter) -> float:
    return meter.seconds(lambda: guest_of("uniform")) / (TIB // GIB) * 1e6
