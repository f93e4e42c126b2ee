# SPDX-License-Identifier: GPL-2.0-or-later
"""The bugs of DOMAIN.md section 8: each as a story that holds here, and that fails when the bug is put in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs
import pytest

from gmemsim.gmem.restructure import plan
from tests.gmem.worlds import PAGE, G, M, attributes, live, make_guest, mapping, outcome, sound, state, without
from tests.planted import run_with_bug


@attrs.frozen
class Bug:
    """A ``story`` asserts what is right; ``wrong`` in place of ``right`` in ``file`` is the bug."""

    name: str
    story: Callable[[], None]
    file: str
    right: str
    wrong: str


# -- split, then merge, restored stale HVO state, so the folio was not optimised and a later split misbehaved --------


def merged_folios_are_optimised() -> None:
    guest = make_guest(G)
    for _again in range(3):
        guest.set_attributes(0, PAGE, False)
        assert guest.work.vmemmap_pages_restored == 4095
        guest.set_attributes(0, PAGE, True)
        assert live(guest, "vmemmap") == 0
        sound(guest)


# -- a non-uniform split briefly exposed the wrong folio at an index -------------------------------------------------


def slots_hold_the_original_until_the_end() -> None:
    guest = make_guest(G, split="nonuniform")
    inode = guest.inode
    hugepage = inode.hugepages[0]
    filemap = inode.filemap
    planned = plan(inode, hugepage, 6, 7)
    assert planned is not None
    (step,) = planned.steps
    assert [(order, new) for _, order, new in step.splits()] == [(order, order - 1) for order in range(18, 0, -1)]
    with filemap.preallocate(step.descent.nodes) as nodes:
        for stretch in step.descent.stretches:
            filemap.split(step.page, stretch.order, stretch.new_order, nodes, stretch.halves)
            for page in (0, 1, 5, 6, 7, 8, 512, 1 << 17, guest.pages - 1):
                assert filemap.holds(page, hugepage), f"index {page} after {stretch.order} to {stretch.new_order}"
    for index, order, _ in reversed(step.splits()):
        filemap.merge(index, order, hugepage)
    sound(guest)


# -- two first faults inside one hugepage both allocated and exceeded the subpool ------------------------------------


def two_first_faults_allocate_once() -> None:
    guest = make_guest(2 * M, 1, allocate=False)
    guest.set_attributes(M, PAGE, False)
    guest.fault(0)
    assert guest.work.allocations == 1
    guest.fault(M, by="host")
    assert guest.work.allocations == 0
    assert guest.inode.subpool is not None
    assert len(guest.inode.subpool.outstanding) == 1
    sound(guest)


# -- rollback at index 0 underflowed (A) -----------------------------------------------------------------------------


def rollback_at_index_0() -> None:
    for offset, end in ((0, 2 * M + PAGE), (0, PAGE), (2 * M - PAGE, 2 * M + PAGE)):
        guest = make_guest(2 * M, 2, ordering="attributes-first")
        before = state(guest)
        last = 9 if end > 2 * M else 1  # the first node of the last hugepage
        guest.host.ledger.inject("filemap_nodes", last)
        error = outcome(partial(guest.set_attributes, offset, end - offset, False))
        assert error is not None
        assert guest.stats.rollback_failures == 0
        assert attributes(guest) == []
        sound(guest)
        assert without(state(guest), "stage2") == without(before, "stage2")
    guest = make_guest(2 * M, 2, ordering="attributes-first")
    guest.set_attributes(0, 3 * M, False)
    guest.host.ledger.inject("attributes", 2)  # to private again: the second store's
    assert outcome(lambda: guest.set_attributes(0, 3 * M, True)) is not None
    assert guest.stats.rollback_failures == 0
    assert attributes(guest) == [(0, 3 * M // PAGE)]
    sound(guest)


# -- ENOMEM after the destructive zap (A, B) -------------------------------------------------------------------------


def nothing_is_torn_down_before_memory_is_there() -> None:
    for account in ("attributes", "stage2_page_tables", "filemap_nodes", "vmemmap"):
        guest = make_guest(2 * M, 2, ordering="reserve-first")
        guest.fault(0, 4 * M)
        before = state(guest)
        guest.host.ledger.inject(account, 1)
        error = outcome(partial(guest.set_attributes, M, 2 * M, False))
        assert error is not None
        assert error.name == "ENOMEM"
        assert state(guest) == before
        sound(guest)


# -- the mapping order was computed from the raw index instead of the hugepage's floor -------------------------------


def leaves_start_at_the_floor() -> None:
    for page in (0, 1, 511, 512, 700, (1 << 18) - 1):
        guest = make_guest(G, 2, mapping="plain")
        guest.fault(G + page * PAGE)
        assert mapping(guest) == [(1 << 18, 2 << 18, 18)], f"first touched at page {page}"
        sound(guest)


BUGS = [
    Bug(
        "merge-not-optimised",
        merged_folios_are_optimised,
        "gmem/merging.py",
        "    if surplus > 0:\n",
        "    if surplus < 0:\n",
    ),
    Bug(
        "merge-stale-state",  # the flag says optimised, the pages are still there
        merged_folios_are_optimised,
        "gmem/merging.py",
        "    inode.vmemmap.free(pages)\n",
        "",
    ),
    Bug(
        "split-wrong-folio",
        slots_hold_the_original_until_the_end,
        "xarray/split.py",
        "    value = isinstance(entry, int)\n",
        "    value, entry = False, object()\n",
    ),
    Bug(
        "two-first-faults",
        two_first_faults_allocate_once,
        "gmem/population.py",
        "        if first in there:\n",
        "        if False:\n",
    ),
    Bug(
        "rollback-underflow",
        rollback_at_index_0,
        "gmem/conversion.py",
        "    low, high, hugepage = piece\n",
        "    low, high, hugepage = piece[0] - 1, piece[1], piece[2]\n",
    ),
    Bug(
        "rollback-skips-0",
        rollback_at_index_0,
        "gmem/conversion.py",
        "    low, high, hugepage = piece\n",
        "    low, high, hugepage = piece\n    if not low:\n        return\n",
    ),
    Bug(
        "enomem-after-zap",
        nothing_is_torn_down_before_memory_is_there,
        "gmem/conversion.py",
        "    RESERVE_FIRST: reserve_first,\n",
        "    RESERVE_FIRST: restructure_first,\n",
    ),
    Bug(
        "vmemmap-not-reserved",
        nothing_is_torn_down_before_memory_is_there,
        "gmem/conversion.py",
        "            split.take_vmemmap()\n",
        "",
    ),
    Bug(
        "raw-index",
        leaves_start_at_the_floor,
        "gmem/stage2.py",
        "            level = self._leaf_level(position, folio_order, all_private)\n",
        "            level = self._leaf_level(position, min(folio_order, (position & -position).bit_length() - 1),"
        " all_private)\n",
    ),
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_it_is_right(bug: Bug) -> None:
    bug.story()


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_bug_would_be_noticed(bug: Bug, tmp_path: Path) -> None:
    code = f"from tests.gmem.test_bugs_on_record import {bug.story.__name__} as story; story()"
    ended = run_with_bug(tmp_path, bug.file, bug.right, bug.wrong, code)
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(("AssertionError", "gmemsim.errors.")), ended.stderr
