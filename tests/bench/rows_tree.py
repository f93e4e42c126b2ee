# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of the XArray alone; the kernel's own code does the same trace (tests/oracle/bench.c)."""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Callable

import gmemsim
from tests.bench.meter import Meter, row
from tests.bench.trace import KINDS, OPERATIONS, SEED, bench_ops

ORDER_2M, ORDER_1G = 9, 18
HUGEPAGES = 256
"""The kernel's timing mode has as many (tests/oracle/driver.c)."""

CLOCK_SAMPLES = 100_000


class Page:
    """What a filemap stores: a hugepage."""

    __slots__ = ()


def split(xa: gmemsim.XArray, index: int, order: int, new_order: int) -> None:
    """Preallocate and split, as a restructuring does."""
    with xa.split_alloc(index, order, new_order) as prealloc:
        xa.split(index, order, new_order, prealloc=prealloc)


def split_and_merge(meter: Meter, order: int, number: int) -> float:
    """µs to split one entry of ``order`` to order 0 and merge it again."""
    xa, page = gmemsim.XArray(), Page()
    xa.store_order(0, order, page)

    def repeat() -> None:
        for _ in range(meter.scale(number)):
            split(xa, 0, order, 0)
            xa.store_order(0, order, page)

    return meter.seconds(repeat) / meter.scale(number) * 1e6


@row("tree.split-merge-1g", "µs", "split a 1G entry to 4K and merge it (4161 nodes)")
def split_and_merge_1g(meter: Meter) -> float:
    return split_and_merge(meter, ORDER_1G, 20_000)


@row("tree.split-merge-16p", "µs", "the same with an entry of order 42 (16P)")
def split_and_merge_16p(meter: Meter) -> float:
    return split_and_merge(meter, 42, 10_000)


# -- a random trace ----------------------------------------------------------------------------------------------------


def make4k(xa: gmemsim.XArray, index: int, page: Page) -> None:
    order = xa.get_order(index)
    if order == ORDER_1G:
        split(xa, index, ORDER_1G, ORDER_2M)
        order = ORDER_2M
    if order == ORDER_2M:
        split(xa, index, ORDER_2M, 0)


def merge2m(xa: gmemsim.XArray, index: int, page: Page) -> None:
    if xa.get_order(index) < ORDER_2M:
        xa.store_order(index, ORDER_2M, page)


def merge1g(xa: gmemsim.XArray, index: int, page: Page) -> None:
    if xa.get_order(index) < ORDER_1G:
        xa.store_order(index, ORDER_1G, page)


def load(xa: gmemsim.XArray, index: int, page: Page) -> None:
    xa.load(index)


CALLS: dict[str, Callable[[gmemsim.XArray, int, Page], None]] = {
    "make4k": make4k,
    "merge2m": merge2m,
    "merge1g": merge1g,
    "load": load,
}
"""The operations of the trace, as driver.c states them."""


class Trace:
    """The trace, and the 256 GiB of 1G entries that it works on."""

    def __init__(self, operations: int) -> None:
        self.pages = [Page() for _ in range(HUGEPAGES)]
        self.xa = gmemsim.XArray()
        for number, page in enumerate(self.pages):
            self.xa.store_order(number << ORDER_1G, ORDER_1G, page)
        lines = (line.split() for line in bench_ops(SEED, operations))
        self.calls = [(kind, int(index)) for kind, index in lines]

    def run(self) -> None:
        """All of it."""
        xa, pages = self.xa, self.pages
        for kind, index in self.calls:
            CALLS[kind](xa, index, pages[index >> ORDER_1G])

    def run_timing(self, timed: str) -> float:
        """Mean CPU seconds of one operation of the kind ``timed``, the clock's own cost taken off."""
        xa, pages, clock = self.xa, self.pages, time.process_time_ns
        total = number = 0
        for kind, index in self.calls:
            call, page = CALLS[kind], pages[index >> ORDER_1G]
            if kind != timed:
                call(xa, index, page)
                continue
            start = clock()
            call(xa, index, page)
            total += clock() - start
            number += 1
        return max(total / max(number, 1) - clock_cost(), 0) / 1e9


def clock_cost() -> float:
    """Nanoseconds that a pair of clock readings measures with nothing between them."""
    clock, total = time.process_time_ns, 0
    for _ in range(CLOCK_SAMPLES):
        start = clock()
        total += clock() - start
    return total / CLOCK_SAMPLES


@row("tree.trace", "µs", "an operation of a random trace on 256 GiB")
def whole_trace(meter: Meter) -> float:
    trace = Trace(meter.scale(OPERATIONS))
    return meter.seconds(trace.run) / len(trace.calls) * 1e6


@row(
    "tree.trace.as-run",
    "µs",
    "the same, with collections of garbage as in a run (`gmemsim.garbage`)",
    collections=False,
)
def whole_trace_as_in_a_run(meter: Meter) -> float:
    with as_in_a_run():
        return whole_trace(meter)


def as_in_a_run() -> contextlib.AbstractContextManager[None]:
    """Collections as in a run of the revision that is measured: before there was a module for it, as always."""
    try:
        garbage = importlib.import_module("gmemsim.garbage")
    except ModuleNotFoundError:
        return contextlib.nullcontext()
    fewer: contextlib.AbstractContextManager[None] = garbage.fewer_collections()
    return fewer


def _kind(kind: str) -> Callable[[Meter], float]:
    def measure(meter: Meter) -> float:
        trace = Trace(meter.scale(OPERATIONS))
        found: list[float] = []
        meter.seconds(lambda: found.append(trace.run_timing(kind)))
        return found[0] * 1e6

    return measure


for _name in KINDS:
    row(f"tree.{_name}", "µs", f"its operations {_name}, each with two readings of the clock (their cost taken off)")(
        _kind(_name)
    )
