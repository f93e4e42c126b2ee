# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast the XArray is: lazily against eagerly, and against the kernel's C code on the same operations.

Run by ``make bench``; a plain ``pytest`` runs everything once, on small inputs, and asserts no times.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from rich.table import Table

from gmemsim.xarray import CountingAllocator, XArray
from tests.oracle import kernel
from tests.oracle.generate import bench_ops

Show = Callable[[Table], None]

ORDER_2M, ORDER_1G = 9, 18
"""In pages of 4K."""

HUGEPAGES = 256
"""The kernel's timing mode has as many (tests/oracle/driver.c)."""

TIB = 1024
"""1G folios in 1 TiB."""

SEED = 1


class Page:
    """What a filemap stores: a hugepage."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


Result = TypeVar("Result")


def once(benchmark: BenchmarkFixture, call: Callable[[], Result]) -> Result:
    """Time one call that is long enough, or changes what it works on."""
    pedantic: Callable[..., Result] = benchmark.pedantic
    return pedantic(call, rounds=1)


def split(xa: XArray, index: int, order: int, new_order: int) -> None:
    """Preallocate and split, as a restructuring does."""
    with xa.split_alloc(index, order, new_order) as prealloc:
        xa.split(index, order, new_order, prealloc=prealloc)


def best_of(rounds: int, repeat: int, call: Callable[[], object]) -> float:
    """Shortest mean time of a call, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(repeat):
            call()
        times.append((time.perf_counter() - start) / repeat)
    return min(times)


def split_and_merge(order: int, *, eager: bool = False) -> Callable[[], None]:
    """A call that splits one entry of ``order`` to order 0 and merges it again."""
    xa = XArray(eager=eager)
    page = Page(0)
    xa.store_order(0, order, page)

    def run() -> None:
        split(xa, 0, order, 0)
        xa.store_order(0, order, page)

    return run


def test_split_and_merge_1g(benchmark: BenchmarkFixture, show: Show) -> None:
    """One 1G entry to 4K and back: a thousand times faster than with every node made."""
    timed = benchmark.enabled
    lazily, eagerly = split_and_merge(ORDER_1G), split_and_merge(ORDER_1G, eager=True)
    # In turn, so that a busy moment of the machine meets both.
    rounds = [(best_of(1, 200 if timed else 1, lazily), best_of(1, 1, eagerly)) for _ in range(20 if timed else 1)]
    lazy, eager = (min(times) for times in zip(*rounds, strict=True))
    benchmark(split_and_merge(ORDER_1G))
    table = Table("nodes", "time", "ratio", title="Split 1G to 4K and merge it again (4161 nodes)")
    table.add_row("made one by one", f"{eager * 1e6:,.0f} µs", "1")
    table.add_row("one Uniform", f"{lazy * 1e6:,.1f} µs", f"{eager / lazy:,.0f}")
    show(table)


def test_the_order_split_makes_no_difference(benchmark: BenchmarkFixture, show: Show) -> None:
    timed = benchmark.enabled
    table = Table("order", "nodes", "time", title="Split one entry to order 0 and merge it again")
    times = {}
    for order in (18, 24, 30, 36, 42):
        times[order] = best_of(5, 200 if timed else 1, split_and_merge(order))
        nodes = sum(64**level for level in range(order // 6))
        table.add_row(str(order), f"{nodes:,}", f"{times[order] * 1e6:.1f} µs")
    benchmark(split_and_merge(42))
    show(table)
    assert not timed or max(times.values()) < 3 * min(times.values())


# -- a random trace, beside the kernel's code --------------------------------------------------------------------------


def make4k(xa: XArray, index: int, page: Page) -> None:
    order = xa.get_order(index)
    if order == ORDER_1G:
        split(xa, index, ORDER_1G, ORDER_2M)
        order = ORDER_2M
    if order == ORDER_2M:
        split(xa, index, ORDER_2M, 0)


def merge2m(xa: XArray, index: int, page: Page) -> None:
    if xa.get_order(index) < ORDER_2M:
        xa.store_order(index, ORDER_2M, page)


def merge1g(xa: XArray, index: int, page: Page) -> None:
    if xa.get_order(index) < ORDER_1G:
        xa.store_order(index, ORDER_1G, page)


def load(xa: XArray, index: int, page: Page) -> None:
    xa.load(index)


KINDS = {"make4k": make4k, "merge2m": merge2m, "merge1g": merge1g, "load": load}
"""The operations of the trace, as driver.c states them."""


def clock_cost() -> float:
    """Nanoseconds that a pair of clock readings measures with nothing between them."""
    clock = time.perf_counter_ns
    total, samples = 0, 100_000
    for _ in range(samples):
        start = clock()
        total += clock() - start
    return total / samples


def time_trace(xa: XArray, pages: list[Page], operations: list[tuple[str, int]]) -> dict[str, float]:
    """Mean nanoseconds of each kind of operation, the clock's own cost taken off."""
    clock = time.perf_counter_ns
    total, number = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0)
    for kind, index in operations:
        call, page = KINDS[kind], pages[index >> ORDER_1G]
        start = clock()
        call(xa, index, page)
        total[kind] += clock() - start
        number[kind] += 1
    overhead = clock_cost()
    return {kind: max(total[kind] / number[kind] - overhead, 0) if number[kind] else 0 for kind in KINDS}


def filemap() -> tuple[XArray, CountingAllocator, list[Page]]:
    """256 GiB of 1G entries."""
    allocator = CountingAllocator()
    xa = XArray(allocator)
    pages = [Page(number) for number in range(HUGEPAGES)]
    for page in pages:
        xa.store_order(page.number << ORDER_1G, ORDER_1G, page)
    return xa, allocator, pages


def test_a_million_operations(benchmark: BenchmarkFixture, show: Show) -> None:
    """50 % make a page 4K, 35 % merge its 2M, 3 % merge its 1G, 12 % load, at random pages of 256 GiB."""
    lines = list(bench_ops(SEED, 1_000_000 if benchmark.enabled else 5000))
    operations = [(kind, int(index)) for kind, index in (line.split() for line in lines)]
    xa, allocator, pages = filemap()
    before = allocator.allocs
    ours = once(benchmark, lambda: time_trace(xa, pages, operations))
    xa.check()
    assert allocator.live == xa.nodes
    table = Table(
        "operation",
        "ours, ns",
        "kernel 6.12, ns",
        "ours / kernel",
        title=f"{len(lines):,} operations on 256 GiB of 1G entries (seed {SEED})",
        caption="The kernel's code at -O2. It cannot do 1G to 2M in one step and goes 18 to 12 to 9: the same nodes.",
    )
    try:
        theirs = kernel.bench(lines)
    except kernel.OracleError:
        for kind, mean in ours.items():
            table.add_row(kind, f"{mean:,.0f}", "run make oracle", "")
    else:
        for kind, mean in ours.items():
            c = theirs[kind].ns_per_op
            table.add_row(kind, f"{mean:,.0f}", f"{c:,.0f}", f"{mean / c:.2f}" if c else "")
        assert allocator.allocs - before == sum(timing.allocs for timing in theirs.values())
        assert allocator.frees == sum(timing.frees for timing in theirs.values())
    show(table)


# -- memory ------------------------------------------------------------------------------------------------------------


@contextmanager
def traced() -> Iterator[list[int]]:
    """The bytes that Python has allocated since, at the end and at the peak."""
    figures: list[int] = []
    gc.collect()
    tracemalloc.start()
    try:
        yield figures
        figures += tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


def split_at_once(xa: XArray, base: int) -> None:
    split(xa, base, ORDER_1G, 0)


def split_by_stages(xa: XArray, base: int) -> None:
    split(xa, base, ORDER_1G, ORDER_2M)
    for index in range(base, base + (1 << ORDER_1G), 1 << ORDER_2M):
        split(xa, index, ORDER_2M, 0)


@pytest.mark.parametrize("way", [split_at_once, split_by_stages])
def test_memory_of_1_tib_in_pages_of_4k(
    benchmark: BenchmarkFixture, show: Show, way: Callable[[XArray, int], None]
) -> None:
    """4.3 million nodes of the kernel's in less than 50 MiB."""
    folios = TIB if benchmark.enabled else TIB // 64

    def build() -> tuple[XArray, int]:
        with traced() as figures:
            xa = XArray()
            for number in range(folios):
                xa.store_order(number << ORDER_1G, ORDER_1G, Page(number))
                way(xa, number << ORDER_1G)
        return xa, figures[1]

    xa, peak = once(benchmark, build)
    table = Table("way", "kernel's nodes", "kernel", "ours", title=f"{folios} GiB, every page of 4K")
    table.add_row(way.__name__, f"{xa.nodes:,}", f"{xa.nodes * 576 / 2**20:,.0f} MiB", f"{peak / 2**20:.1f} MiB")
    show(table)
    assert peak < 50 * 2**20 * folios // TIB + 2**20
