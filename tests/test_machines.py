# SPDX-License-Identifier: GPL-2.0-or-later
"""Which machines there are: hugepages by base page, guests that only x86 has; all others are refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gmemsim import GuestMemfd, Host
from gmemsim.cli.main import gmemsim
from gmemsim.errors import InputError, Invalid
from gmemsim.host.geometry import HUGEPAGE_SIZES, Geometry
from gmemsim.host.switches import KernelSwitches
from gmemsim.host.vmemmap import VmemmapLayout
from gmemsim.scenario import load_scenario
from gmemsim.sim.run import run
from gmemsim.units import size_name

K, M, G = 1 << 10, 1 << 20, 1 << 30
MACHINES = [(page, huge) for page, sizes in HUGEPAGE_SIZES.items() for huge in sizes]


def scenario(folder: Path, page: int, backing: int, more: str = "", pool: bool = True) -> Path:
    path = folder / "s.yaml"
    hugetlb = f", hugetlb: {{{size_name(backing)}: 1}}" if pool else ""
    path.write_text(
        f"gmemsim: 1\nhost: {{page_size: {size_name(page)}{hugetlb}}}\n"
        f"guests: [{{name: vm, memory: {size_name(backing)}, backing: {size_name(backing)}{more}}}]\n"
        f"workload: [{{allocate: {{guest: vm, offset: 0, size: {size_name(backing)}}}}},"
        f" {{convert: {{guest: vm, offset: 0, size: {size_name(page)}, to: shared}}}}]\n"
    )
    return path


@pytest.mark.parametrize(
    ("page", "sizes"),
    [(4 * K, (64 * K, 2 * M, 32 * M, G)), (16 * K, (2 * M, 32 * M, G)), (64 * K, (2 * M, 512 * M, 16 * G))],
)
def test_the_hugepages_of_every_base_page(page: int, sizes: tuple[int, ...]) -> None:
    assert Geometry(page).hugepage_sizes == sizes


@pytest.mark.parametrize(
    ("page", "huge", "pages", "restored", "tables"),
    [
        (4 * K, 64 * K, 0, 0, 0),
        (4 * K, 2 * M, 8, 7, 1),
        (4 * K, 32 * M, 128, 127, 1),
        (4 * K, G, 4096, 4095, 8),
        (16 * K, 2 * M, 0, 0, 0),
        (16 * K, 32 * M, 8, 7, 0),
        (16 * K, G, 256, 255, 0),
        (64 * K, 2 * M, 0, 0, 0),
        (64 * K, 512 * M, 8, 7, 0),
        (64 * K, 16 * G, 256, 255, 0),
    ],
)
def test_vmemmap_of_every_machine(page: int, huge: int, pages: int, restored: int, tables: int) -> None:
    geometry = Geometry(page)
    layout, order = VmemmapLayout(geometry), geometry.order_of(huge)
    assert pages == (64 << order) // page
    assert (layout.pages_of(order), layout.restored(order), layout.page_tables_for(order, 1)) == (
        pages,
        restored,
        tables,
    )


@pytest.mark.parametrize(("page", "huge"), MACHINES)
@pytest.mark.parametrize("split", ["uniform", "staged", "nonuniform"])
def test_every_machine_runs(tmp_path: Path, page: int, huge: int, split: str) -> None:
    geometry = Geometry(page)
    path = scenario(tmp_path, page, huge, f", policy: {{split: {split}, vmemmap: partial}}")
    summary = run(load_scenario(path), check=True).summary
    assert summary["conversions"]["succeeded"] == 1
    assert sum(summary["folios"].values()) > 1
    pages = sum(count * _bytes(name) for name, count in summary["folios"].items()) // page
    assert pages == 1 << geometry.order_of(huge)
    on_x86 = page == 4 * K and huge in (2 * M, G)
    assert summary["guests"][0]["mapping"] == ("snp" if on_x86 else "plain")


def _bytes(name: str) -> int:
    return int(name[:-1]) * {"K": K, "M": M, "G": G, "T": G << 10}[name[-1]]


@pytest.mark.parametrize(
    ("page", "huge"), [(4 * K, 128 * K), (4 * K, 16 * G), (16 * K, 64 * K), (64 * K, G), (64 * K, 32 * M)]
)
def test_other_hugepages_are_refused_everywhere(tmp_path: Path, page: int, huge: int) -> None:
    known = Geometry(page).hugepage_names
    for pool, places in ((True, 2), (False, 1)):
        with pytest.raises(InputError) as caught:
            load_scenario(scenario(tmp_path, page, huge, pool=pool))
        lines = str(caught.value).splitlines()
        assert len(lines) == places
        assert all(f"found {size_name(huge)}, expected {known}: no machine" in line for line in lines)
    with pytest.raises(ValueError, match="no machine has hugepages of"):
        Host(geometry=Geometry(page), hugetlb={huge: 1})
    with pytest.raises(Invalid, match="vm: no machine has hugepages of"):
        GuestMemfd(Host(geometry=Geometry(page)), "vm", size=huge, backing=huge)
    result = CliRunner().invoke(
        gmemsim, ["explain", "split", size_name(huge), size_name(page), "--page-size", size_name(page)]
    )
    assert result.exit_code == 2
    assert f"they are of {known}" in result.output


@pytest.mark.parametrize("mapping", ["snp", "tdx"])
@pytest.mark.parametrize(
    ("page", "huge", "why"),
    [
        (16 * K, 32 * M, "is of x86, whose pages are 4K, not 16K"),
        (16 * K, 16 * K, "is of x86, whose pages are 4K, not 16K"),
        (64 * K, 2 * M, "is of x86, whose pages are 4K, not 64K"),
        (4 * K, 64 * K, "is of x86, whose hugepages are 2M or 1G; those of 64K are arm64's"),
        (4 * K, 32 * M, "is of x86, whose hugepages are 2M or 1G; those of 32M are arm64's"),
    ],
)
def test_a_named_mapping_of_x86_on_arm64_is_refused(
    tmp_path: Path, page: int, huge: int, why: str, mapping: str
) -> None:
    path = scenario(tmp_path, page, huge, f", mapping: {mapping}", pool=huge > page)
    with pytest.raises(InputError, match=f"found {mapping}, expected plain: {mapping} {why}"):
        load_scenario(path)
    host = Host(geometry=Geometry(page), hugetlb={huge: 1} if huge > page else {})
    with pytest.raises(Invalid, match=f"vm: {mapping} {why}"):
        GuestMemfd(host, "vm", size=huge, backing=huge, mapping=mapping)  # type: ignore[arg-type]


@pytest.mark.parametrize("pamt", ["static", "dynamic"])
@pytest.mark.parametrize("page", [16 * K, 64 * K])
def test_pamt_on_arm64_is_refused(tmp_path: Path, page: int, pamt: str) -> None:
    path = scenario(tmp_path, page, 2 * M)
    text = path.read_text()
    path.write_text(text.replace("page_size", f"pamt: {pamt}, page_size"))
    why = f"PAMT is of TDX on x86, whose pages are 4K, not {size_name(page)}"
    with pytest.raises(InputError, match=f"s.yaml:2:14: found {pamt}, expected none: {why}"):
        load_scenario(path)
    with pytest.raises(ValueError, match=why):
        Host(geometry=Geometry(page), kernel=KernelSwitches(pamt=pamt))
    path.write_text(text.replace("page_size", "pamt: none, page_size"))
    load_scenario(path)


@pytest.mark.parametrize(("page", "mapping"), [(4 * K, "snp"), (16 * K, "plain"), (64 * K, "plain")])
def test_base_pages_alone(tmp_path: Path, page: int, mapping: str) -> None:
    summary = run(load_scenario(scenario(tmp_path, page, page, pool=False)), check=True).summary
    assert summary["guests"][0]["mapping"] == mapping
    assert GuestMemfd(Host(geometry=Geometry(page)), "vm", size=page, backing=page).mapping == mapping


@pytest.mark.parametrize(("page", "huge"), MACHINES)
def test_explain_knows_every_machine(page: int, huge: int) -> None:
    arguments = ["explain", "split", size_name(huge), size_name(page), "--page-size", size_name(page)]
    result = CliRunner().invoke(gmemsim, arguments)
    assert result.exit_code == 0, result.output
    assert "staged" in result.output
