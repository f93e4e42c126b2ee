# SPDX-License-Identifier: GPL-2.0-or-later
"""The filemap: exactly the nodes that a kernel's stores and splits would make."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmemsim.errors import OutOfMemory
from gmemsim.gmem.filemap import Filemap
from gmemsim.host.work import Work
from gmemsim.xarray import Profile, XArray
from gmemsim.xarray.node import Node
from tests.gmem.worlds import PAGE, live, make_guest, make_host, settle

spans = st.lists(st.tuples(st.integers(0, 300), st.sampled_from([1, 2, 63, 64, 65, 128, 200])), min_size=1, max_size=5)


def filemap(work: Work | None = None, profile: Profile = "rfc") -> Filemap:
    host = make_host()
    return Filemap(host.ledger.holder("filemap_nodes", "vm0"), profile, work or host.work)


def test_nodes_of_a_hole_go_after_a_grace_period() -> None:
    guest = make_guest(PAGE, 300, allocate=False)
    guest.allocate(0, 300 * PAGE)
    nodes = live(guest, "filemap_nodes")
    assert nodes == 6
    guest.punch_hole(0, 300 * PAGE)
    assert live(guest, "filemap_nodes") == nodes
    settle(guest.host)
    assert live(guest, "filemap_nodes") == 0


def test_a_tree_that_is_broken_is_noticed() -> None:
    ours = filemap()
    ours.add_folios(0, 64, 0, "page")
    ours.check()
    head = ours.tree.tree.head
    assert isinstance(head, Node)
    head.count -= 1
    with pytest.raises(AssertionError, match="count"):
        ours.check()


@settings(deadline=None)  # a time is no property
@given(spans, spans)
def test_base_pages_make_the_nodes_of_page_by_page_stores(
    added: list[tuple[int, int]], removed: list[tuple[int, int]]
) -> None:
    ours, kernel, present = filemap(), XArray(), set[int]()
    for start, length in added:
        if present & set(range(start, start + length)):
            continue
        ours.add_folios(start, start + length, 0, "page")
        present |= set(range(start, start + length))
        for page in range(start, start + length):
            kernel.store(page, "page")
        ours.check()
        assert ours.tree.nodes == kernel.nodes
    for start, length in removed:
        ours.remove_range(start, start + length)
        present -= set(range(start, start + length))
        for page in range(start, start + length):
            kernel.erase(page)
        ours.check()
        assert ours.tree.dump() == kernel.dump()


@pytest.mark.parametrize(("pages", "nodes"), [(1, 0), (2, 1), (64, 1), (65, 3), (512, 9), (4096, 65), (4097, 68)])
def test_nodes_of_files_of_base_pages(pages: int, nodes: int) -> None:
    ours = filemap()
    ours.add_folios(0, pages, 0, "page")
    assert ours.tree.nodes == nodes


@pytest.mark.parametrize("pages", [3, 70, 600])
def test_pages_that_cannot_all_be_had_leave_none(pages: int) -> None:
    host = make_host()
    held = host.ledger.holder("filemap_nodes", "vm0")
    ours = Filemap(held, "rfc", host.work)
    failing = 0
    while True:
        failing += 1
        host.ledger.inject("filemap_nodes", failing)
        try:
            ours.add_folios(5, 5 + pages, 0, "page")
        except OutOfMemory:
            ours.check()
            assert not list(ours.folios(0, 5 + pages))
        else:
            break
    assert failing > 1
    assert ours.histogram(5, 5 + pages) == {0: pages}


@pytest.mark.parametrize(
    ("order", "new_order", "nodes"), [(18, 0, 4161), (18, 9, 65), (9, 0, 8), (18, 12, 1), (17, 12, 0)]
)
def test_split_and_merge(order: int, new_order: int, nodes: int) -> None:
    work, entry = Work(), object()
    ours = filemap(work)
    ours.add(0, order, entry)
    root = ours.tree.nodes
    with ours.preallocate(ours.nodes_for(order, new_order)) as prealloc:
        ours.split(0, order, new_order, prealloc)
    assert work.nodes_allocated == ours.split_nodes == ours.tree.nodes - root == nodes
    assert work.entries_stored == 1 << order - new_order
    assert ours.histogram(0, 1 << order) == {new_order: 1 << order - new_order}
    assert ours.tree.load((1 << order) - 1) is entry
    ours.merge(0, order, entry)
    ours.check()
    assert work.nodes_freed == nodes
    assert (ours.split_nodes, ours.tree.nodes) == (0, root)
    ours.remove(0, order)
    assert ours.tree.nodes == 0


@given(st.integers(1, 18), st.data())
def test_halving_around_a_page_costs_what_the_splits_cost(order: int, data: st.DataObject) -> None:
    new_order = data.draw(st.integers(0, order - 1))
    page = data.draw(st.integers(0, (1 << order) - 1))
    once, chain = Work(), Work()
    for work, steps in (
        (once, [(order, new_order)]),
        (chain, [(above, above - 1) for above in range(order, new_order, -1)]),
    ):
        ours = filemap(work)
        ours.add(0, order, "entry")
        for above, below in steps:
            ours.split_on_the_spot(page, above, below, work is once)
        assert work.nodes_allocated == ours.split_nodes
        ours.check()
    assert once == chain


def test_a_terabyte_of_1g_folios() -> None:
    ours = filemap()
    for hugepage in range(1024):
        ours.add(hugepage << 18, 18, hugepage)
    assert ours.tree.nodes == 17  # a root of shift 24 and 16 nodes of shift 18 (DOMAIN.md, 2)
    assert ours.order_at(5 << 18) == 18


def test_destroy_forgets_the_nodes_of_splits() -> None:
    ours = filemap()
    ours.add(0, 9, "a")
    with ours.preallocate(8) as prealloc:
        ours.split(0, 9, 0, prealloc)
    ours.destroy()
    ours.check()
    assert (ours.tree.nodes, ours.split_nodes) == (0, 0)


def test_v6_15_refuses_two_levels() -> None:
    ours = filemap(profile="v6.15")
    for order, new_order in ((18, 12), (12, 6), (6, 0), (9, 0), (11, 0)):
        ours.check_depth(order, new_order)
    for order, new_order in ((18, 0), (18, 9), (13, 0)):
        with pytest.raises(OutOfMemory, match="refuses"):
            ours.check_depth(order, new_order)


def test_folios_of_one_order_side_by_side_are_one_range() -> None:
    ours = filemap()
    ours.add_run(0, 9, ["a", "b", "c"])
    ours.add_folios(3 * 512, 3 * 512 + 5, 0, "page")
    ours.add_run(5 * 512, 9, ["d"])
    assert list(ours.ranges_by_order(700, 8 * 512)) == [
        (700, 3 * 512, 9),
        (3 * 512, 3 * 512 + 5, 0),
        (5 * 512, 6 * 512, 9),
    ]
    assert list(ours.ranges_by_order(4 * 512, 5 * 512)) == []
    assert list(ours.ranges_by_order(3 * 512 + 2, 3 * 512 + 4)) == [(3 * 512 + 2, 3 * 512 + 4, 0)]


@pytest.mark.parametrize(("order", "new_order"), [(9, 0), (18, 9), (18, 12), (7, 6), (3, 1)])
def test_a_folio_that_is_replaced_is_taken_out_and_its_pieces_are_stored_one_by_one(order: int, new_order: int) -> None:
    work, entry = Work(), object()
    ours = filemap(work)
    ours.add(0, order, entry)
    root, slots, stored, freed = ours.tree.nodes, work.slots_written, work.entries_stored, work.nodes_freed
    allocated = work.nodes_allocated
    ours.replace(0, order, new_order, entry)
    pieces = 1 << order - new_order
    assert ours.histogram(0, 1 << order) == {new_order: pieces}
    assert work.entries_stored - stored == pieces
    assert work.slots_written - slots == pieces << new_order % 6
    assert work.nodes_freed - freed == root, "the tree was empty for a moment"
    assert work.nodes_allocated - allocated == ours.tree.nodes
    ours.check()


def test_a_folio_that_cannot_be_put_back_leaves_nothing_of_its_pieces() -> None:
    host = make_host()
    ours = Filemap(host.ledger.holder("filemap_nodes", "vm0"), "rfc", host.work)
    ours.add(0, 9, "a hugepage")
    ours.replace(0, 9, 3, "a hugepage")
    host.ledger.inject("filemap_nodes", 1)
    with pytest.raises(OutOfMemory):
        ours.put_back(0, 9, "a hugepage")
    assert (ours.histogram(0, 512), ours.tree.nodes) == ({}, 0)
    ours.put_back(0, 9, "a hugepage")
    assert ours.histogram(0, 512) == {9: 1}
    ours.check()
