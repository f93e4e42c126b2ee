# SPDX-License-Identifier: GPL-2.0-or-later
"""Operations that come back to where they began leave no memory behind; compiled code counts its references itself."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gmemsim import GuestMemfd, Host, Policy, XArray, compiled
from gmemsim.errors import Again, OutOfMemory

ROOT = Path(__file__).parent.parent

GIB, PAGE = 1 << 30, 4096

OPERATIONS = 1_000_000 if os.environ.get("BIG") else 100_000 if compiled.active() else 4000
"""Of all cases together; a leak in one in fifty would be noticed."""

SLACK = 100
"""Blocks that Python itself may take between two looks."""


def conversions(split: str) -> Callable[[], None]:
    """Eight operations: two pages out and back, one of them while it is pinned, and a fault with no memory left."""
    host = Host(hugetlb={GIB: 1})
    guest = GuestMemfd(host, "vm0", size=GIB, backing=GIB, policy=Policy(split=split))
    guest.allocate(0, GIB)

    def run() -> None:
        host.ledger.inject("filemap_nodes", 2, "once")
        with pytest.raises(OutOfMemory):
            guest.set_attributes(0, PAGE, private=False)
        guest.set_attributes(0, PAGE, private=False)
        guest.set_attributes(1 << 29, PAGE, private=False)
        guest.pin(1 << 29, PAGE)
        with pytest.raises(Again):
            guest.set_attributes(1 << 29, PAGE, private=True)
        guest.unpin(1 << 29, PAGE)
        guest.set_attributes(0, PAGE, private=True)
        guest.set_attributes(1 << 29, PAGE, private=True)
        host.ledger.advance(host.ledger.next_release() or 0)

    return run


def tree() -> None:
    """Eight operations on a tree that goes."""
    xa, entry = XArray(), object()
    for base in (0, 1 << 18):
        xa.store_order(base, 18, entry)
        with xa.split_alloc(base, 18, 0) as prealloc:
            xa.split(base, 18, 0, prealloc=prealloc)
        xa.store(base + 5, 7)
        assert xa.load(base + 5) == 7
    xa.destroy()


CASES = dict.fromkeys(("uniform", "staged", "nonuniform"), conversions)


@pytest.mark.parametrize("case", [*CASES, "tree"])
def test_memory_stays_flat(case: str) -> None:
    run = CASES[case](case) if case in CASES else tree
    repeat(run, 100)
    gc.collect()
    before = sys.getallocatedblocks()
    repeat(run, OPERATIONS // (len(CASES) + 1) // 8)
    gc.collect()
    assert sys.getallocatedblocks() - before < SLACK


def repeat(run: Callable[[], None], times: int) -> None:
    for _ in range(times):
        run()


RUNS = """
import gc
from gmemsim import load_scenario, run
counts = []
for _ in range(12):
    run(load_scenario("scenarios/boot-16g-2m.yaml"))
    counts.append(len(gc.get_objects()))
print(counts[-1] - counts[1])
"""


def test_what_a_run_leaves_is_collected_when_the_next_one_begins() -> None:
    """A run leaves 13,000 objects in cycles; nobody but the library asks for a collection here."""
    done = subprocess.run([sys.executable, "-c", RUNS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 5_000
