# SPDX-License-Identifier: GPL-2.0-or-later
"""What a split and a merge make, exactly: folios, XArray nodes, vmemmap pages, descriptors, metadata."""

from typing import Any

import pytest

from gmemsim.errors import Invalid, OutOfMemory
from gmemsim.gmem import restructure
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.hugepage import Hugepage
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.rules import MERGES, Hysteresis
from tests.gmem.worlds import (
    PAGE,
    G,
    K,
    M,
    attributes,
    folios,
    layout,
    live,
    make_guest,
    make_host,
    mapping,
    outcome,
    settle,
    sound,
    state,
    without,
)

ONE_OF_EACH = dict.fromkeys(range(1, 18), 1)
X86, ARM16, ARM64 = 4 * K, 16 * K, 64 * K

# base page, backing, split -> folios, nodes beside the root, vmemmap pages: all of them, and those that are needed
SPLITS = [
    (X86, G, "uniform", {0: 262_144}, 4161, 4095, 4095),
    (X86, G, "staged", {9: 511, 0: 512}, 65 + 8, 4095, 518),
    (X86, G, "nonuniform", {**ONE_OF_EACH, 0: 2}, 3, 4095, 8 + 1 + 7),
    (X86, G, (18, 12, 6, 0), {12: 63, 6: 63, 0: 64}, 3, 4095, 63 + 63),
    (X86, G, (18, 0), {0: 262_144}, 4161, 4095, 4095),
    (X86, G, (18, 9, 0), {9: 511, 0: 512}, 73, 4095, 518),
    (X86, G, (18, 10, 9, 0), {10: 255, 9: 1, 0: 512}, 73, 4095, 255 + 1 + 7),
    (X86, 2 * M, "uniform", {0: 512}, 8, 7, 7),
    (X86, 2 * M, "staged", {0: 512}, 8, 7, 7),
    (X86, 2 * M, "nonuniform", {**dict.fromkeys(range(1, 9), 1), 0: 2}, 1, 7, 7),
    (X86, 2 * M, (9, 6, 0), {6: 7, 0: 64}, 1, 7, 7),
    (X86, 2 * M, (9, 7, 5, 0), {7: 3, 5: 3, 0: 32}, 2, 7, 7),
    (ARM16, 32 * M, "uniform", {0: 2048}, 32, 7, 7),
    (ARM16, 32 * M, "staged", {0: 2048}, 32, 7, 7),
    (ARM16, 32 * M, "nonuniform", {**dict.fromkeys(range(1, 11), 1), 0: 2}, 1, 7, 7),
    (ARM16, 32 * M, (11, 6, 0), {6: 31, 0: 64}, 1, 7, 7),
    (ARM16, 2 * M, "uniform", {0: 128}, 2, 0, 0),
    (ARM64, 512 * M, "uniform", {0: 8192}, 2 + 128, 7, 7),
    (ARM64, 512 * M, "nonuniform", {**dict.fromkeys(range(1, 13), 1), 0: 2}, 2, 7, 7),
    (ARM64, 512 * M, (13, 6, 0), {6: 127, 0: 64}, 3, 7, 7),
    (ARM64, 2 * M, "uniform", {0: 32}, 0, 0, 0),
]
CASES = [
    pytest.param(*case, vmemmap, id=f"{case[0] // K}K-{case[1] // M}M-{case[2]}-{vmemmap}")
    for case in SPLITS
    for vmemmap in ("whole", "reoptimize", "partial", "off")
]


@pytest.mark.parametrize("hugepage", [0, 2])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize(("page", "backing", "split", "pieces", "nodes", "restored", "needed", "vmemmap"), CASES)
def test_one_shared_page_and_back(
    page: int,
    backing: int,
    split: Any,
    pieces: dict[int, int],
    nodes: int,
    restored: int,
    needed: int,
    vmemmap: str,
    place: str,
    hugepage: int,
) -> None:
    guest = make_guest(backing, 3, page_size=page, split=split, vmemmap=vmemmap)
    before = layout(guest), live(guest, "filemap_nodes")
    offset = hugepage * backing + {"first": 0, "middle": backing // 2, "last": backing - page}[place]
    guest.set_attributes(offset, page, False)
    sound(guest)
    assert folios(guest) == {**pieces, guest.page_order: 2}
    assert live(guest, "filemap_nodes") - before[1] == nodes == guest.work.nodes_allocated
    live_pages, peak = {
        "whole": (restored, restored),
        "reoptimize": (needed, restored),
        "partial": (needed, needed),
        "off": (0, 0),
    }[vmemmap]
    assert live(guest, "vmemmap") == live_pages
    assert guest.host.ledger.tallies["vmemmap"].peak == peak
    allocated = guest.host.ledger.tallies["filemap_nodes"].allocated
    guest.set_attributes(offset, page, True)
    sound(guest)
    assert guest.host.ledger.tallies["filemap_nodes"].allocated == allocated  # a merge allocates nothing
    assert live(guest, "filemap_nodes") - before[1] == nodes  # until the grace period is over
    settle(guest.host)
    assert (layout(guest), live(guest, "filemap_nodes")) == before
    assert live(guest, "vmemmap") == 0


def test_splits_and_merges_are_counted_level_by_level() -> None:
    guest = make_guest(G, split="staged")
    guest.set_attributes(0, PAGE, False)
    guest.set_attributes(5 * M, PAGE, False)
    assert guest.stats.splits == {(18, 9): 1, (9, 0): 2}
    guest.set_attributes(0, PAGE, True)
    assert guest.stats.merges == {(0, 9): 1}
    assert folios(guest) == {9: 511, 0: 512}
    assert attributes(guest) == [(1280, 1281)]
    guest.set_attributes(5 * M, PAGE, True)
    assert guest.stats.merges == {(0, 9): 2, (9, 18): 1}
    assert folios(guest) == {18: 1}
    sound(guest)


def test_a_range_that_holds_whole_pieces_counts_every_rung() -> None:
    guest = make_guest(G, split="staged")
    guest.set_attributes(0, G, False)
    assert guest.stats.splits == {(18, 9): 1, (9, 0): 512}
    assert folios(guest) == {0: 262_144}
    guest.set_attributes(0, G, True)
    assert guest.stats.merges == {(0, 9): 512, (9, 18): 1}


def test_the_nonuniform_chain_halves_only_around_the_range() -> None:
    guest = make_guest(2 * M, split="nonuniform")
    guest.set_attributes(3 * PAGE, 2 * PAGE, False)
    sound(guest)
    expected = [
        (0, 1, 1),
        (2, 4, 0),
        (6, 1, 1),
        (8, 1, 3),
        (16, 1, 4),
        (32, 1, 5),
        (64, 1, 6),
        (128, 1, 7),
        (256, 1, 8),
    ]
    found = [(first + (i << order), 1, order) for first, number, order in layout(guest) for i in range(number) if order]
    assert found == [piece for piece in expected if piece[2]]
    assert folios(guest)[0] == 4
    assert live(guest, "filemap_nodes") == 2
    guest.set_attributes(4 * PAGE, PAGE, True)
    assert folios(guest) == {0: 2, **dict.fromkeys(range(1, 9), 1)}  # 4 to 7 are together, 2 and 3 are not
    sound(guest)


def test_a_range_that_crosses_two_folios_splits_both() -> None:
    guest = make_guest(G, split="staged")
    guest.set_attributes(G - PAGE, PAGE, private=False)
    guest.set_attributes(2 * M - PAGE, 2 * PAGE, private=False)
    assert folios(guest) == {9: 509, 0: 3 * 512}
    sound(guest)


def test_partial_vmemmap_grows_with_the_folios_that_are_split() -> None:
    guest = make_guest(G, split="staged", vmemmap="partial")
    for number in range(1, 4):
        guest.set_attributes(number * 10 * M, PAGE, False)
        assert live(guest, "vmemmap") == 511 + 7 * number
    guest.set_attributes(10 * M, PAGE, True)
    assert live(guest, "vmemmap") == 511 + 14
    sound(guest)


# -- what the kernel can do ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "backing", "split", "accepted"),
    [
        (X86, G, "uniform", False),
        (X86, G, "staged", False),
        (X86, G, (18, 12, 6, 0), True),
        (X86, G, (18, 12, 0), False),
        (X86, G, "nonuniform", True),
        (X86, 2 * M, "uniform", True),
        (ARM16, 32 * M, "uniform", True),
        (ARM64, 512 * M, "uniform", False),
        (ARM64, 512 * M, (13, 6, 0), True),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_v6_15_refuses_deep_splits(page: int, backing: int, split: Any, accepted: bool, whole: bool) -> None:
    guest = make_guest(backing, page_size=page, split=split, switches={"xarray": "v6.15"})
    error = outcome(lambda: guest.set_attributes(0, backing if whole else page, False))
    sound(guest)
    if accepted:
        assert error is None
        assert attributes(guest) != []
    else:
        assert error is not None
        assert (error.name, error.error_offset) == ("ENOMEM", 0)
        assert "refuses" in str(error)
        assert attributes(guest) == []
        assert folios(guest) == {guest.page_order: 1}


# -- when, and until when --------------------------------------------------------------------------------------------


def test_hysteresis_allows_merges_until_so_many_re_splits() -> None:
    guest = make_guest(2 * M, merge=Hysteresis(3))
    for splits in range(1, 7):
        guest.set_attributes(0, PAGE, False)
        guest.set_attributes(0, PAGE, True)
        sound(guest)
        merged = splits <= 3  # the first split, and re-splits 1 and 2; re-split 3 is the last
        assert folios(guest) == ({9: 1} if merged else {0: 512})
    assert guest.stats.splits[9, 0] == 4
    assert guest.stats.merges[0, 9] == 3


def test_hysteresis_counts_each_block_for_itself() -> None:
    guest = make_guest(G, split="staged", merge=Hysteresis(1))
    for _ in range(3):
        guest.set_attributes(0, PAGE, False)
        guest.set_attributes(2 * M, PAGE, False)
        guest.set_attributes(2 * M, PAGE, True)
        guest.set_attributes(0, PAGE, True)
        sound(guest)
    assert guest.stats.splits == {(18, 9): 2, (9, 0): 4}
    assert folios(guest) == {9: 510, 0: 1024}


@pytest.mark.parametrize("merge", ["cleanup", "never"])
def test_other_policies_leave_private_memory_in_pieces(merge: str) -> None:
    guest = make_guest(2 * M, 2, merge=merge)
    guest.set_attributes(0, PAGE, False)
    guest.set_attributes(0, PAGE, True)
    sound(guest)
    assert folios(guest) == {0: 512, 9: 1}
    if merge == "never":
        with pytest.raises(Invalid, match="never merges"):
            guest.punch_hole(0, 2 * M)
    else:
        guest.punch_hole(0, 2 * M)
        assert guest.stats.merges == {(0, 9): 1}
        assert folios(guest) == {9: 1}
    guest.close()
    settle(guest.host)
    sound(guest)
    assert guest.host.pool.free(2 * M) == 2


def test_a_hole_that_may_not_merge_is_refused_before_anything_happens() -> None:
    guest = make_guest(G, 2, merge="never")
    guest.set_attributes(0, PAGE, False)
    guest.fault(0, PAGE, by="host")
    guest.punch_hole(G, G)  # the filemap shrinks, so a merge would need a root
    guest.host.ledger.inject("filemap_nodes", 1)
    with pytest.raises(Invalid, match="never merges") as refused:
        guest.punch_hole(0, G)
    assert refused.value.error_offset == 0
    assert guest.inode.host_mapped.pages(0, 1) == 1
    sound(guest)


@pytest.mark.parametrize("backing", [2 * M, G])
def test_when_fault_splits_at_the_first_host_fault(backing: int) -> None:
    guest = make_guest(backing, when="fault")
    guest.fault(0, backing)
    guest.set_attributes(0, 2 * PAGE, False)
    sound(guest)
    assert folios(guest) == {guest.page_order: 1}
    assert live(guest, "vmemmap") == 0
    guest.fault(0, 2 * PAGE)  # the guest maps shared pages small, whatever the folio
    assert mapping(guest)[0] == (0, 512, 0)
    guest.fault(PAGE, by="host")
    sound(guest)
    assert folios(guest) == {0: guest.pages}
    assert guest.inode.stage2.leaf_order(0) == 0
    assert guest.inode.stage2.leaf_order(1) is None  # what the host touched was taken from the guest
    guest.set_attributes(0, 2 * PAGE, True)
    assert folios(guest) == {guest.page_order: 1}
    sound(guest)


def test_when_fault_needs_no_split_for_memory_that_no_host_touches() -> None:
    guest = make_guest(G, when="fault", allocate=False)
    guest.set_attributes(0, 64 * M, False)
    guest.allocate(0, G)
    guest.set_attributes(0, 64 * M, True)
    sound(guest)
    assert not guest.stats.splits


@pytest.mark.parametrize(("split", "pieces"), [("uniform", {0: 512 * 512}), ("staged", {9: 510, 0: 1024})])
def test_first_touch_of_a_hugepage_with_shared_pages_splits_it_at_once(split: Any, pieces: dict[int, int]) -> None:
    guest = make_guest(G, split=split, allocate=False)
    guest.set_attributes(2 * M, PAGE, False)
    guest.set_attributes(8 * M, PAGE, False)
    assert folios(guest) == {}
    guest.fault(512 * M)
    sound(guest)
    assert folios(guest) == pieces
    assert guest.work.allocations == 1


# -- what else is held -----------------------------------------------------------------------------------------------


def test_folio_descriptors() -> None:
    guest = make_guest(G, switches={"memdesc": "folio-descriptors"})
    assert live(guest, "memdesc") == 1
    guest.set_attributes(0, PAGE, False)
    assert guest.host.ledger.tallies["memdesc"].live_bytes == 20 * M  # Wilcox: 80 bytes x 512 x 512
    assert live(guest, "vmemmap") == 511  # eight bytes a page: 2 MiB of vmemmap a gigabyte
    guest.set_attributes(0, PAGE, True)
    settle(guest.host)
    assert live(guest, "memdesc") == 1
    sound(guest)


@pytest.mark.parametrize(
    ("ordering", "whole", "split", "size"),
    [("restructure-first", 1, 1, 32), ("reserve-first", 1, 1, 32), ("attributes-first", 0, 1, 64)],
)
def test_metadata_of_generations_a_and_b(ordering: str, whole: int, split: int, size: int) -> None:
    guest = make_guest(G, ordering=ordering)
    tally = guest.host.ledger.tallies["folio_metadata"]
    assert (tally.live, tally.live_bytes) == (whole, whole * size)
    guest.set_attributes(0, PAGE, False)
    assert (tally.live, tally.live_bytes) == (split, split * size)
    guest.set_attributes(0, PAGE, True)
    assert tally.live == whole


def test_registry_nodes() -> None:
    host = make_host({G: 64, 2 * M: 16})
    for name, backing, number in (("a", G, 64), ("b", 2 * M, 8)):
        guest = GuestMemfd(host, name, size=backing * number, backing=backing)
        guest.allocate(0, backing * number)
    # 1G: one shift-18 node per 64 GiB; 2M: one shift-6 node per eight; and the nodes between them and the root
    assert host.ledger.tallies["registry_nodes"].live == 1 + 1 + (1 + 1 + 1)


def test_page_tables_of_the_vmemmap_are_not_given_back() -> None:
    host = make_host({G: 2, 2 * M: 128})
    for name, backing in (("a", G), ("b", 2 * M)):
        guest = GuestMemfd(host, name, size=backing, backing=backing)
        guest.allocate(0, backing)
        guest.close()
    settle(host)
    assert host.ledger.tallies["vmemmap_page_tables"].live == 2 * 8 + 2
    assert host.ledger.total.live == 18


@pytest.mark.parametrize(("switch", "waits"), [(False, 0), (True, 1)])
def test_restore_and_optimise_flush_once_each(switch: bool, waits: int) -> None:
    guest = make_guest(G, switches={"synchronize_rcu": switch})
    guest.set_attributes(0, PAGE, False)
    assert (guest.work.tlb_flushes, guest.work.restores, guest.work.pages_copied) == (1, 1, 4095)
    assert guest.work.rcu_synchronisations == waits
    guest.set_attributes(0, PAGE, True)
    assert (guest.work.tlb_flushes, guest.work.optimises, guest.work.vmemmap_pages_freed) == (1, 1, 4095)
    assert guest.work.rcu_synchronisations == waits


# -- optimising may fail ---------------------------------------------------------------------------------------------


def unoptimised(hugepages: int = 1) -> GuestMemfd:
    """A guest with a merged hugepage whose vmemmap could not be optimised for want of a new head page."""
    guest = make_guest(G, hugepages, switches={"shared_tail_pages": True})
    guest.set_attributes(0, PAGE, False)
    guest.host.ledger.inject("vmemmap", 1)
    guest.set_attributes(0, PAGE, True)
    return guest


def test_a_failed_optimise_is_silent_and_counted() -> None:
    guest = unoptimised()
    sound(guest)
    assert folios(guest) == {18: 1}
    assert guest.stats.optimise_failures == 1
    assert live(guest, "vmemmap") == 4095
    guest.set_attributes(0, PAGE, False)
    assert guest.work.vmemmap_pages_restored == 0  # it is all there already
    guest.set_attributes(0, PAGE, True)
    sound(guest)
    assert live(guest, "vmemmap") == 0


def test_an_unoptimised_hugepage_stays_so_in_the_pool() -> None:
    guest = unoptimised()
    guest.close()
    settle(guest.host)
    sound(guest)
    assert guest.host.unoptimised == {(18, 0): 4095}
    assert guest.host.ledger.guest_total("vm0").live == 0


def test_the_next_guest_finds_a_hugepage_as_it_is() -> None:
    guest = unoptimised()
    host = guest.host
    guest.punch_hole(0, G)
    assert guest.inode.vmemmap.live == 0
    assert host.vmemmap_of_pool.live == 4095
    host.check()
    guest.close()
    other = GuestMemfd(host, "vm1", size=G, backing=G)
    other.allocate(0, G)
    assert (other.inode.vmemmap.live, host.vmemmap_of_pool.live) == (4095, 0)
    sound(other)
    other.set_attributes(0, PAGE, False)
    assert other.work.vmemmap_pages_restored == 0
    other.set_attributes(0, PAGE, True)
    assert other.inode.vmemmap.live == 0
    sound(other)


# -- policies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"split": "halves"}, "expected one of uniform, staged, nonuniform"),
        ({"split": (18,)}, "at least two strictly decreasing"),
        ({"split": (18, 9, 9, 0)}, "at least two strictly decreasing"),
        ({"split": (18, 9)}, "end with 0"),
        ({"merge": "late"}, "expected one of eager, cleanup, never"),
        ({"when": "later"}, "expected one of conversion, fault"),
        ({"vmemmap": "half"}, "expected one of whole, reoptimize, partial, off"),
        ({"ordering": "random"}, "expected one of restructure-first, attributes-first, reserve-first"),
    ],
)
def test_policies_that_make_no_sense(wrong: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Policy(**wrong)


def test_hysteresis_needs_a_limit() -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        Hysteresis(0)


def test_a_ladder_starts_at_the_backing() -> None:
    with pytest.raises(ValueError, match="starts at order 18"):
        make_guest(2 * M, split=(18, 9, 0))


def test_a_split_that_cannot_have_nodes_says_how_many_it_held() -> None:
    guest = make_guest(G)
    guest.host.ledger.inject("filemap_nodes", 4161)
    with pytest.raises(OutOfMemory) as caught:
        guest.set_attributes(0, PAGE, False)
    assert caught.value.held == 4160
    assert guest.host.ledger.tallies["filemap_nodes"].peak == 4161  # the root and 4160
    sound(guest)


def test_a_chain_that_stops_half_way_keeps_what_it_has_split_with_its_descriptors() -> None:
    """Level by level as in ``folio_split``: the second XArray node is refused, so the folio below 4096 pages stays."""
    host = make_host({G: 1}, memdesc="folio-descriptors")
    guest = make_guest(G, host=host, split="nonuniform")
    descriptors = live(guest, "memdesc")
    host.ledger.inject("filemap_nodes", 2)
    error = outcome(lambda: guest.set_attributes(0, PAGE, False))
    assert error is not None
    assert (error.name, error.error_offset) == ("ENOMEM", 0)
    assert attributes(guest) == []
    assert folios(guest) == {12: 2, **dict.fromkeys(range(13, 18), 1)}
    assert live(guest, "memdesc") - descriptors == 6
    sound(guest)
    guest.set_attributes(0, PAGE, False)
    assert folios(guest) == {**ONE_OF_EACH, 0: 2}
    assert live(guest, "memdesc") - descriptors == 18
    sound(guest)


def test_a_hugepage_that_was_left_split_and_is_merged_is_not_left_split_any_more() -> None:
    guest = make_guest(G, split="nonuniform")
    guest.host.ledger.inject("filemap_nodes", 2)
    assert outcome(lambda: guest.set_attributes(0, PAGE, False)) is not None
    (hugepage,) = guest.inode.hugepages.values()
    assert hugepage.left_split
    guest.set_attributes(0, PAGE, False)
    guest.set_attributes(0, PAGE, True)
    assert hugepage.whole
    assert not hugepage.left_split


@pytest.mark.parametrize(
    ("node", "found"),
    [(3, {6: 2, 7: 1, 8: 1}), (4, {0: 2, **dict.fromkeys(range(1, 6), 1), 6: 3, 7: 2})],
)
def test_a_chain_of_several_steps_keeps_those_that_were_carried_out(node: int, found: dict[int, int]) -> None:
    """Around the middle of 2M: down to 256 pages, then from these to each of two pages, with a node each."""
    guest = make_guest(G, split="nonuniform")
    guest.host.ledger.inject("filemap_nodes", node, "forever")
    assert outcome(lambda: guest.set_attributes(M - PAGE, 2 * PAGE, False)) is not None
    sound(guest)
    assert folios(guest) == {**found, **dict.fromkeys(range(9, 18), 1)}


def test_a_split_is_to_base_pages_unless_it_says_otherwise() -> None:
    guest = make_guest(2 * M)
    (hugepage,) = guest.inode.hugepages.values()
    restructure.split(guest.inode, hugepage, 0, 1)
    assert folios(guest) == {0: 512}


def test_a_chain_without_descriptors_is_not_begun() -> None:
    host = make_host({G: 1}, memdesc="folio-descriptors")
    guest = make_guest(G, host=host, split="nonuniform")
    before = state(guest)
    host.ledger.inject("memdesc", 18)
    assert outcome(lambda: guest.set_attributes(0, PAGE, False)) is not None
    assert state(guest) == before
    sound(guest)


def test_an_early_merge_without_a_limit_is_never_refused() -> None:
    assert MERGES["eager"].allows(10**9)
    assert [Hysteresis(2).allows(splits) for splits in (2, 3)] == [True, False]
    assert [repr(rule) for rule in (MERGES["eager"], Hysteresis(2))] == ["eager", "Hysteresis(limit=2)"]


def test_what_a_hugepage_remembers_of_its_pages() -> None:
    hugepage = Hugepage(512, 9, 0)
    hugepage.forget_touches(512, 1024)
    assert hugepage.private_since(512, 1024) == 0
    hugepage.note_private(600, 700, 5)
    hugepage.note_private(650, 660, 9)
    assert [hugepage.private_since(512, end) for end in (600, 601, 651, 1024)] == [0, 5, 9, 9]
    assert [hugepage.count_touch(512, 1024) for _ in range(2)] == [1, 2]
    hugepage.forget_touches(512, 1024)
    assert hugepage.count_touch(512, 1024) == 1
    assert hugepage.times_split(9, 512) == 0
    hugepage.count_split(9, 512, 1024)
    assert (hugepage.times_split(9, 700), hugepage.times_split(8, 700)) == (1, 0)


def test_a_chain_whose_first_node_is_refused_has_split_nothing() -> None:
    guest = make_guest(G, split="nonuniform")
    before = state(guest)
    guest.host.ledger.inject("filemap_nodes", 1)
    assert outcome(lambda: guest.set_attributes(0, PAGE, False)) is not None
    assert without(state(guest), "stage2") == without(before, "stage2")
    (hugepage,) = guest.inode.hugepages.values()
    assert (hugepage.left_split, guest.stats.splits) == (False, {})
    sound(guest)
