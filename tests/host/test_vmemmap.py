# SPDX-License-Identifier: GPL-2.0-or-later
"""Every number of DOMAIN.md section 5, and the laws behind them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.host.geometry import PAGE_SIZES, Geometry
from gmemsim.host.host import Host
from gmemsim.host.switches import KernelSwitches
from gmemsim.host.vmemmap import STRUCT_PAGE_SIZES, VmemmapLayout

X86 = VmemmapLayout(Geometry(4096))
K16 = VmemmapLayout(Geometry(16 << 10))
K64 = VmemmapLayout(Geometry(64 << 10))
MIB = 1 << 20


@pytest.mark.parametrize(
    ("layout", "size", "pages", "restored"),
    [
        (X86, 1 << 30, 4096, 4095),
        (X86, 2 * MIB, 8, 7),
        (X86, 64 << 10, 0, 0),  # arm64's contiguous PTEs: a quarter of a vmemmap page
        (X86, 32 * MIB, 128, 127),  # arm64's contiguous PMDs
        (K16, 32 * MIB, 8, 7),
        (K16, 2 * MIB, 0, 0),
        (K64, 512 * MIB, 8, 7),
        (K64, 2 * MIB, 0, 0),
        (VmemmapLayout(Geometry(4096), 32), 1 << 30, 2048, 2047),
        (VmemmapLayout(Geometry(4096), 8), 1 << 30, 512, 511),
        (VmemmapLayout(Geometry(4096), 8), 2 * MIB, 1, 0),
        (VmemmapLayout(Geometry(4096), 8), 4 * MIB, 2, 1),
    ],
)
def test_pages_and_what_a_restore_allocates(layout: VmemmapLayout, size: int, pages: int, restored: int) -> None:
    order = layout.geometry.order_of(size)
    assert (layout.pages_of(order), layout.restored(order)) == (pages, restored)
    assert layout.optimizable(order) == (restored > 0)
    assert layout.kept(order) == pages - restored


def test_restored_bytes_are_those_of_the_domain_page() -> None:
    assert X86.restored(18) * 4096 == 16_773_120
    assert X86.restored(9) * 4096 == 28_672
    per_1g = [VmemmapLayout(Geometry(4096), size).pages_of(18) * 4096 // MIB for size in (64, 32, 8)]
    assert per_1g == [16, 8, 2]


@pytest.mark.parametrize(
    ("memdesc", "mib"), [("struct-page", 16), ("struct-page-32", 8), ("struct-page-8", 2), ("folio-descriptors", 2)]
)
def test_what_a_1g_hugepage_has_of_vmemmap_by_what_describes_a_page(memdesc: str, mib: int) -> None:
    host = Host(hugetlb={"1G": 1}, kernel=KernelSwitches(memdesc=memdesc))
    assert host.vmemmap.pages_of(18) * 4096 == mib * MIB


def test_two_vmemmap_pages_do_not_make_a_hugepage() -> None:
    order = X86.geometry.order_of(512 << 10)
    assert X86.pages_of(order) == 2
    assert not X86.optimizable(order)


@pytest.mark.parametrize(
    ("layout", "order", "hugepages", "tables"),
    [
        (X86, 18, 1, 8),
        (X86, 18, 16, 128),
        (X86, 9, 1, 1),
        (X86, 9, 64, 1),
        (X86, 9, 65, 2),
        (X86, 9, 0, 0),
        (X86, 8, 64, 0),
        (VmemmapLayout(Geometry(4096), 32), 18, 1, 4),
        (K16, 11, 1000, 0),
        (K64, 13, 1000, 0),
    ],
)
def test_page_tables(layout: VmemmapLayout, order: int, hugepages: int, tables: int) -> None:
    assert layout.page_tables_for(order, hugepages) == tables


@pytest.mark.parametrize(
    ("folios", "order", "pages"),
    [
        ({18: 1}, 18, 0),
        ({9: 512}, 18, 511),
        ({9: 511, 0: 512}, 18, 518),
        ({9: 510, 0: 1024}, 18, 525),
        ({0: 1 << 18}, 18, 4095),
        (
            {**dict.fromkeys(range(1, 18), 1), 0: 2},
            18,
            16,
        ),  # one page split out by halves: 9 large, then 8 pages
        ({12: 64}, 18, 63),
        ({9: 1}, 9, 0),
        ({0: 512}, 9, 7),
        ({8: 1, 0: 256}, 9, 7),
    ],
)
def test_pages_needed_by_the_pieces(folios: dict[int, int], order: int, pages: int) -> None:
    assert X86.needed(folios, order, reoptimised=True) == pages
    whole = 0 if order in folios else X86.restored(order)
    assert X86.needed(folios, order, reoptimised=False) == whole


@pytest.mark.parametrize("reoptimised", [False, True])
def test_what_cannot_be_optimised_needs_nothing_back(reoptimised: bool) -> None:
    assert K64.needed({0: 32}, 5, reoptimised=reoptimised) == 0
    assert VmemmapLayout(Geometry(4096), 8).needed({0: 512}, 9, reoptimised=reoptimised) == 0


@pytest.mark.parametrize("folios", [{}, {9: 511}, {9: 512, 0: 1}])
def test_folios_that_do_not_add_up_are_refused(folios: dict[int, int]) -> None:
    with pytest.raises(ValueError, match="do not make up one of order 18"):
        X86.needed(folios, 18, reoptimised=True)


def test_an_unknown_struct_page_is_refused() -> None:
    with pytest.raises(ValueError, match="struct_page_bytes"):
        VmemmapLayout(Geometry(4096), 48)


layouts = st.builds(VmemmapLayout, st.sampled_from(PAGE_SIZES).map(Geometry), st.sampled_from(STRUCT_PAGE_SIZES))


@st.composite
def pieces(draw: st.DrawFn) -> tuple[VmemmapLayout, int, dict[int, int]]:
    """A hugepage, split by taking folios of it into two or many parts a few times."""
    layout = draw(layouts)
    top = draw(st.sampled_from([layout.geometry.pmd_order, layout.geometry.pud_order]))
    folios = {top: 1}
    for _ in range(draw(st.integers(0, 8))):
        order = draw(st.sampled_from([o for o in folios if o > 0] or [0]))
        if order == 0:
            break
        new = draw(st.integers(0, order - 1))
        folios[order] -= 1
        if not folios[order]:
            del folios[order]
        folios[new] = folios.get(new, 0) + (1 << (order - new))
    return layout, top, folios


@given(pieces())
def test_need_is_what_the_pieces_keep_beyond_what_the_hugepage_keeps(
    case: tuple[VmemmapLayout, int, dict[int, int]],
) -> None:
    layout, top, folios = case
    needed = layout.needed(folios, top, reoptimised=True)
    assert 0 <= needed <= layout.needed(folios, top, reoptimised=False) <= layout.restored(top)
    if layout.optimizable(top):
        large = {o: n for o, n in folios.items() if o >= layout.geometry.pmd_order}
        small_pages = sum(n << o for o, n in folios.items() if o not in large)
        shared = small_pages * layout.struct_page_bytes // layout.geometry.page_size
        assert needed == sum(n * layout.kept(o) for o, n in large.items()) + shared - layout.kept(top)
