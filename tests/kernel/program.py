# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel is asked to do: the two programs that ``init.c`` carries out, one operation a line.

Both are text, made from nothing but their arguments, so a run can be repeated.  ``init.c`` says what an operation is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

BASE_PAGE: Final = 4096
HUGEPAGE: Final = 2 << 20

SWITCH: Final = "/proc/sys/vm/hugetlb_optimize_vmemmap"
"""0 or 1: whether HugeTLB optimises the vmemmap of the hugepages that it takes from now on."""

POOLS: Final = {
    "1G": "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages",
    "2M": "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
}
"""Hugepages of a size that the kernel keeps, as a file that can be written."""

POOL_SIZES: Final = {"1G": 1, "2M": 64}
"""Hugepages that the program asks for."""

COUNTERS: Final = ("nr_memmap_pages", "nr_memmap_boot_pages")
"""Lines of /proc/vmstat, in pages: struct pages from the buddy allocator and those from boot, since Linux 6.11."""

SHMEM_HUGEPAGES: Final = "get /proc/meminfo ShmemHugePages"
"""KiB of tmpfs in hugepages."""

_CHUNKS: Final = (0, 1, 2, 7, 8, 9, 31, 32, 33, 511, 512, 513, 16384, 1 << 18)
"""Hugepages of a file that are worked on, so that filemaps of one to five levels grow and shrink."""


def hvo_program(rounds: int) -> list[str]:
    """``rounds`` in which hugepages come and go, with HVO off, on, and switched off in between, and all is read."""
    lines = _read()
    for _ in range(rounds):
        for switches in (("0",), ("1",), ("1", "0")):
            lines += [f"set {SWITCH} {switches[0]}", *_read()]
            for size, pages in POOL_SIZES.items():
                lines += [f"set {POOLS[size]} {pages}", f"get {POOLS[size]}", *_read()]
            for switch in switches[1:]:
                lines += [f"set {SWITCH} {switch}", *_read()]
            for path in POOLS.values():
                lines += [f"set {path} 0", f"get {path}", *_read()]
    return lines


def _read() -> list[str]:
    return [f"get /proc/vmstat {counter}" for counter in COUNTERS]


def filemap_program(seed: int, files: int, operations: int) -> list[str]:
    """``files`` tmpfs files, every fourth of base pages, with ``operations`` on each, by ``seed``."""
    lines: list[str] = []
    for number in range(files):
        chance = random.Random(f"{seed}/{number}")
        huge = number % 4 != 3
        lines.append(f"open {number} {'huge' if huge else 'base'}")
        for operation in _on_file(chance, operations, huge=huge):
            lines.append(operation.format(number))
        lines.append(f"close {number}")
    return lines


def _on_file(chance: random.Random, operations: int, *, huge: bool) -> Iterator[str]:
    """Operations with ``{}`` for the file.  A file of base pages has a few pages a hugepage, so that it stays small."""
    chunks = chance.sample(_CHUNKS, 4)
    written: set[int] = set()
    for _ in range(operations):
        chunk = chance.choice(chunks)
        start = chunk * HUGEPAGE
        page = start + chance.choice((0, 1, 63, 64, 65, 300, 511)) * BASE_PAGE
        kind = chance.choices(("write", "punch", "collapse", "truncate"), (6, 5, 4, 1))[0]
        if kind == "write":
            written.add(chunk)
            yield f"write {{}} {page} {BASE_PAGE}"
        elif kind == "punch":
            pages = chance.choice((1, 1, 1, 2, 64, 448))
            yield f"punch {{}} {page} {min(pages * BASE_PAGE, start + HUGEPAGE - page)}"
        elif kind == "collapse" and huge and chunk in written:
            yield f"write {{}} {start} {BASE_PAGE}"
            yield f"write {{}} {start + HUGEPAGE - BASE_PAGE} {BASE_PAGE}"
            yield f"collapse {{}} {start} {HUGEPAGE}"
            yield SHMEM_HUGEPAGES
        elif kind == "truncate":
            written = {chunk for chunk in written if chunk * HUGEPAGE < page}
            yield f"truncate {{}} {page}"
