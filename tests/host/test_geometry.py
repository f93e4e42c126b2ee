# SPDX-License-Identifier: GPL-2.0-or-later
"""Page sizes, orders and the names of sizes."""

import pytest

from gmemsim.host.geometry import Geometry

K, M, G = 1 << 10, 1 << 20, 1 << 30


def test_orders_of_sizes() -> None:
    geometry = Geometry(4 * K)
    assert [geometry.order_of(size) for size in (4 * K, 2 * M, G)] == [0, 9, 18]
    assert [geometry.size_of(order) for order in (0, 9, 18)] == [4 * K, 2 * M, G]
    assert Geometry(64 * K).order_of(512 * M) == 13
    assert (geometry.pmd_order, geometry.pud_order) == (9, 18)


@pytest.mark.parametrize("size", [0, -4096, 1, 2 * K, 6 * K, 12 * K])
def test_what_has_no_order(size: int) -> None:
    with pytest.raises(ValueError, match="is not a power-of-two number of 4K pages"):
        Geometry(4 * K).order_of(size)


def test_classes_of_sizes() -> None:
    geometry = Geometry(4 * K)
    classes = [geometry.class_names[geometry.size_class(order)] for order in (0, 1, 8, 9, 10, 17, 18)]
    assert classes == ["4K", "over 4K", "over 4K", "2M", "over 2M", "over 2M", "1G"]
    assert Geometry(64 * K).class_names == ("64K", "over 64K", "512M", "over 512M", "16G")


def test_hugepages_that_no_machine_has() -> None:
    assert [size for size in (2 * M, 32 * M, G, 3 * G) if Geometry(4 * K).hugepage_problem(size) is None] == [
        2 * M,
        32 * M,
        G,
    ]
    problem = Geometry(16 * K).hugepage_problem(4 * K)
    assert problem is not None
    assert problem.startswith("no machine has hugepages of 4K with 16K pages: they are of ")


def test_how_guests_are_mapped() -> None:
    x86, arm = Geometry(4 * K), Geometry(64 * K)
    assert (x86.default_mapping(G), x86.default_mapping(32 * M), arm.default_mapping(2 * M)) == (
        "snp",
        "plain",
        "plain",
    )
    assert x86.mapping_problem("snp", G) is None
    assert arm.mapping_problem("plain", 2 * M) is None
    assert arm.mapping_problem("tdx", 2 * M) == "tdx is of x86, whose pages are 4K, not 64K"
    assert x86.mapping_problem("snp", 32 * M) == "snp is of x86, whose hugepages are 2M or 1G; those of 32M are arm64's"


def test_hugepages_by_the_size_of_a_base_page() -> None:
    """arm64's contiguous PTEs and PMDs, PMDs and PUDs (arch/arm64/mm/hugetlbpage.c); x86 has two of them."""
    assert Geometry(4 * K).hugepage_sizes == (64 * K, 2 * M, 32 * M, G)
    assert Geometry(16 * K).hugepage_sizes == (2 * M, 32 * M, G)
    assert Geometry(64 * K).hugepage_sizes == (2 * M, 512 * M, 16 * G)


def test_metadata_of_tdx_is_for_pages_of_4k() -> None:
    assert [Geometry(4 * K).pamt_problem(pamt) for pamt in ("none", "static", "dynamic")] == [None] * 3
    assert Geometry(16 * K).pamt_problem("none") is None
    for pamt in ("static", "dynamic"):
        assert Geometry(16 * K).pamt_problem(pamt) == "PAMT is of TDX on x86, whose pages are 4K, not 16K"
