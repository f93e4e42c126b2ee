# SPDX-License-Identifier: GPL-2.0-or-later
"""What was verified and has not changed is not looked at again; whatever has changed is, whoever changed it."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from gmemsim.errors import KernelError
from gmemsim.gmem.check import Verified, _smallest, check
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.inode import Inode
from gmemsim.host.injection import ANY
from gmemsim.xarray import XArray
from gmemsim.xarray.check import Verified as VerifiedNodes
from gmemsim.xarray.node import Node
from tests.gmem.worlds import GRACE, K, M, make_guest

HUGEPAGES, SPLIT, WHOLE, HOLE = 12, 3, 9, 11
"""Hugepages of a guest; one that is split, one that stays whole, one that is not allocated."""


def used(**policy: Any) -> tuple[GuestMemfd, Verified]:
    """A guest after many calls, some of which have failed, and what was verified after each of them."""
    guest = make_guest(2 * M, HUGEPAGES, **policy)
    verified, rng = Verified(), random.Random(0)
    for call in range(20):
        if rng.random() < 0.3:
            guest.host.ledger.inject(ANY, rng.randrange(1, 20), "once")
        page = rng.choice(
            [number for number in range(HUGEPAGES) if number not in (SPLIT, WHOLE, HOLE)]
        ) * 512 + rng.randrange(512)
        size = rng.choice([4 * K, 16 * K]) if page % 512 < 508 else 4 * K
        with suppress(KernelError):
            guest.set_attributes(page * 4 * K, size, private=rng.random() < 0.4)
            guest.fault(page * 4 * K, by="host")
        guest.host.ledger.advance((call + 1) * GRACE)
        verified.check(guest.inode)
        guest.check()
    guest.punch_hole(HOLE * 2 * M, 2 * M)
    while not guest.inode.attributes.is_shared(SPLIT * 512):
        with suppress(KernelError):  # what is still to fail
            guest.set_attributes(SPLIT * 2 * M, 4 * K, private=False)
    verified.check(guest.inode)
    return guest, verified


def hugepage(inode: Inode, number: int) -> Hugepage:
    return inode.hugepages[number * 512]


def leaf(inode: Inode, number: int) -> Node:
    """The node that holds hugepage ``number`` as an entry, or the node that it is split into."""
    node = inode.filemap.tree.tree.head
    assert isinstance(node, Node)
    index = number * 512
    while isinstance(child := node.slots[index >> node.shift & 63], Node):
        node = child
    return node


def another_folio(inode: Inode) -> None:
    node = leaf(inode, WHOLE)
    node.slots[WHOLE * 512 >> node.shift & 63] = hugepage(inode, WHOLE - 1)


def no_folio(inode: Inode) -> None:
    node = leaf(inode, WHOLE)
    place = WHOLE * 512 >> node.shift & 63
    node.slots[place : place + 8] = [None] * 8
    node.count -= 8


def a_piece_less(inode: Inode) -> None:
    """In place, so that the dict is the same one."""
    hugepage(inode, SPLIT).folios[0] -= 1


BREAKS: dict[str, Callable[[Inode], object]] = {
    "vmemmap": lambda inode: setattr(hugepage(inode, WHOLE), "restored", 7),
    "folios": lambda inode: setattr(hugepage(inode, WHOLE), "folios", {0: 512}),
    "a piece less": a_piece_less,
    "another place": lambda inode: setattr(hugepage(inode, WHOLE), "first", 5),
    "another folio": another_folio,
    "no folio": no_folio,
    "count": lambda inode: setattr(leaf(inode, SPLIT), "count", 5),
    "nodes": lambda inode: setattr(leaf(inode, WHOLE), "nodes", leaf(inode, WHOLE).nodes + 1),
    "values": lambda inode: setattr(leaf(inode, WHOLE), "nr_values", 1),
    "marks": lambda inode: setattr(leaf(inode, WHOLE), "marks", (1, 0, 0)),
    "parent": lambda inode: setattr(leaf(inode, WHOLE), "parent", None),
    "offset": lambda inode: setattr(leaf(inode, WHOLE), "offset", leaf(inode, WHOLE).offset ^ 1),
    "shift": lambda inode: setattr(leaf(inode, WHOLE), "shift", 0),
    "attributes": lambda inode: inode.attributes._shared.add(WHOLE * 512 + 9, WHOLE * 512 + 10),
    "attributes of the first page": lambda inode: inode.attributes._shared.add(WHOLE * 512, WHOLE * 512 + 1),
    "attributes of all pages": lambda inode: inode.attributes._shared.add(WHOLE * 512, WHOLE * 512 + 512),
    "host mappings": lambda inode: inode.host_mapped.add(WHOLE * 512, WHOLE * 512 + 1),
    "touched": lambda inode: inode.touched.add(HOLE * 512, HOLE * 512 + 1),
    "hugepage gone": lambda inode: inode.hugepages.pop(WHOLE * 512),
    "another hugepage": lambda inode: inode.hugepages.update({WHOLE * 512: hugepage(inode, SPLIT)}),
    "counted folios": lambda inode: inode.count_folios([(9, 1)]),
    "memory error": lambda inode: inode.poisoned.add(WHOLE * 512, WHOLE * 512 + 1),
}


@pytest.mark.parametrize("name", BREAKS)
def test_whatever_is_broken_is_seen_as_by_a_full_check(name: str) -> None:
    guest, verified = used()
    guest.fault(WHOLE * 2 * M, 2 * M, by="guest")
    verified.check(guest.inode)
    BREAKS[name](guest.inode)
    with pytest.raises(AssertionError):
        check(guest.inode)
    with pytest.raises(AssertionError):
        verified.check(guest.inode)


@pytest.mark.parametrize("ordering", ["attributes-first", "split-first", "block-abort"])
def test_what_is_right_stays_right(ordering: str) -> None:
    """Failed calls and closing included."""
    guest, verified = used(ordering=ordering, merge="cleanup")
    guest.close()
    verified.check(guest.inode)
    guest.check()


def test_ranges_of_a_tree_that_have_changed() -> None:
    guest = make_guest(2 * M, HUGEPAGES)
    tree, known = guest.inode.filemap.tree.tree, VerifiedNodes()
    assert known.check(tree)[0][0] == 0
    assert known.check(tree) == []
    guest.set_attributes(SPLIT * 2 * M, 4 * K, private=False)
    changed = {page // 512 for start, end in known.check(tree) for page in (start, end - 1)}
    assert changed == {SPLIT}


def looked_at(guest: GuestMemfd, verified: Verified) -> list[int]:
    """The numbers of the hugepages that would be looked at."""
    return [hugepage.first // 512 for hugepage in verified._changed(guest.inode)]


def test_pages_that_have_changed_up_to_the_bounds_of_hugepages_are_of_those_within() -> None:
    guest, verified = used()
    whole = [(number * 512, (number + pages) * 512) for number, pages in ((WHOLE, 1), (WHOLE, 2), (SPLIT, 3), (0, 1))]
    single = [(page, page + 1) for page in (0, WHOLE * 512 - 1, WHOLE * 512)]
    for ranges in (guest.inode.attributes._shared, guest.inode.host_mapped, guest.inode.inconsistent):
        for start, end in whole + single:
            ranges.remove(start, end)
            looked_at(guest, verified)
            for member in (True, False):
                ranges.replace(start, end, member=member)
                assert looked_at(guest, verified) == [*range(start // 512, -(-end // 512))]


def test_all_that_is_left_is_looked_at_once_the_guest_is_gone() -> None:
    guest, verified = used()
    guest.inode.closed = True
    assert looked_at(guest, verified) == [number for number in range(HUGEPAGES) if number != HOLE]


def test_only_what_has_changed_is_looked_at_again() -> None:
    guest, verified = used()
    assert looked_at(guest, verified) == []
    guest.set_attributes(WHOLE * 2 * M, 4 * K, private=False)
    assert looked_at(guest, verified) == [WHOLE]
    assert looked_at(guest, verified) == []
    guest.close()
    verified.check(guest.inode)


def test_the_folios_of_a_whole_range_are_those_that_were_verified_and_those_of_a_part_are_looked_up() -> None:
    guest, _ = used()
    hugepage(guest.inode, WHOLE).folios = {4: 32}
    assert _smallest(guest.inode, WHOLE * 512, WHOLE * 512 + 512) == 4
    assert _smallest(guest.inode, WHOLE * 512, WHOLE * 512 + 256) == 9


@pytest.mark.parametrize("field", ["count", "nodes", "nr_values", "shift", "offset", "marks"])
def test_a_field_of_a_node_that_gets_less_is_seen(field: str) -> None:
    """No node with its fields has been verified, however little another one of them says."""
    xa, known = XArray(), VerifiedNodes()
    for index in range(64, 64 + 64, 2):
        xa.store(index, index)
        xa.set_mark(index, 1)
    known.check(xa.tree)
    assert isinstance(xa.tree.head, Node)
    node = xa.tree.head.slots[1]
    assert isinstance(node, Node)
    setattr(node, field, (0, 0, 0) if field == "marks" else getattr(node, field) - 1)
    with pytest.raises(AssertionError):
        known.check(xa.tree)
