# SPDX-License-Identifier: GPL-2.0-or-later
"""How much memory trees of many nodes take, and that the trace makes the nodes that the kernel's code makes."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gmemsim.xarray import CountingAllocator, XArray
from tests.bench.rows_tree import CALLS, HUGEPAGES, ORDER_1G, ORDER_2M, Page, split
from tests.bench.trace import bench_ops
from tests.oracle import kernel

FOLIOS = 16
"""1G folios that are taken apart."""


@pytest.mark.oracle
def test_the_trace_makes_and_frees_as_many_nodes_as_the_kernels_code() -> None:
    lines = list(bench_ops(1, 5000))
    try:
        theirs = kernel.bench(lines)
    except kernel.OracleError as error:
        pytest.skip(str(error))
    allocator = CountingAllocator()
    xa, pages = XArray(allocator), [Page() for _ in range(HUGEPAGES)]
    for number, page in enumerate(pages):
        xa.store_order(number << ORDER_1G, ORDER_1G, page)
    before = allocator.allocs
    for kind, index in (line.split() for line in lines):
        CALLS[kind](xa, int(index), pages[int(index) >> ORDER_1G])
    xa.check()
    assert allocator.live == xa.nodes
    assert allocator.allocs - before == sum(timing.allocs for timing in theirs.values())
    assert allocator.frees == sum(timing.frees for timing in theirs.values())


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
def test_every_page_of_4k_takes_less_than_50_mib_a_tib(way: Callable[[XArray, int], None]) -> None:
    """4.3 million nodes of the kernel's; at 576 bytes each they would take 2.3 GiB."""
    with traced() as figures:
        xa = XArray()
        for number in range(FOLIOS):
            xa.store_order(number << ORDER_1G, ORDER_1G, Page())
            way(xa, number << ORDER_1G)
    assert xa.nodes > 4096 * FOLIOS
    assert figures[1] < 50 * 2**20 * FOLIOS // 1024 + 2**20
