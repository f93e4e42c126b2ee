# SPDX-License-Identifier: GPL-2.0-or-later
"""`gmemsim explain` agrees with a run, and with the figures of the thread."""

from __future__ import annotations

import attrs
import pytest
from click.testing import CliRunner

from gmemsim.cli.main import gmemsim
from gmemsim.gmem.policy import as_ladder
from gmemsim.gmem.presets import PRESETS
from gmemsim.host.geometry import Geometry
from gmemsim.host.switches import KernelSwitches
from gmemsim.scenario.model import Allocate, Convert, FaultIn, GuestSpec, HostSpec, Scenario
from gmemsim.sim.run import run
from gmemsim.studies.explain import explain_split, share_one_page

SIZES = {"1G": 18, "2M": 9}


def one_page_scenario(preset: str, backing: int) -> Scenario:
    policy = PRESETS[preset].policy
    steps: list[Allocate | Convert | FaultIn] = [
        Allocate(guest="vm0", offset=0, size=backing),
        Convert(guest="vm0", offset=0, size=4096, to="shared", id="shared"),
    ]
    if policy.splits_at_fault:
        steps.append(FaultIn(guest="vm0", offset=0, size=4096, by="host"))
    return Scenario(
        title=preset,
        host=HostSpec(hugetlb={backing: 1}),
        guests=(GuestSpec(name="vm0", memory=backing, backing=backing, policy=policy),),
        workload=tuple(steps),
    )


@pytest.mark.parametrize("backing", SIZES)
@pytest.mark.parametrize("preset", PRESETS)
def test_the_cost_of_one_page_is_that_of_a_run(preset: str, backing: str) -> None:
    order = SIZES[backing]
    split = PRESETS[preset].policy.split
    if not isinstance(split, str) and as_ladder(split).orders[0] != order:
        pytest.skip("this ladder is for the other size")
    cost = share_one_page(PRESETS[preset].policy, order, Geometry(), KernelSwitches())
    summary = run(one_page_scenario(preset, 4096 << order), check=True).summary
    accounts = summary["accounts"]
    assert cost.refused is None
    assert accounts["filemap_nodes"]["live"] == cost.nodes + 1
    assert accounts["vmemmap"]["live"] == cost.vmemmap_pages
    assert accounts["vmemmap"]["peak"] == cost.vmemmap_peak
    assert {Geometry().name(o): n for o, n in cost.folios.items()} == {k: n for k, n in summary["folios"].items() if n}


def test_the_uniform_split_is_the_one_explained() -> None:
    for order in SIZES.values():
        facts = explain_split(order, 0)
        cost = share_one_page(PRESETS["b-today"].policy, order, Geometry(), KernelSwitches())
        assert (facts.nodes, facts.vmemmap_pages, facts.folios) == (cost.nodes, cost.vmemmap_pages, cost.folios.total())


def test_the_cover_letters_figures() -> None:
    facts = explain_split(18, 0)
    assert [(level.shift, level.nodes) for level in facts.levels] == [(12, 1), (6, 64), (0, 4096)]
    assert (facts.nodes, facts.node_bytes, facts.vmemmap_pages) == (4161, 2_396_736, 4095)
    assert facts.descriptor_bytes == 20 << 20
    assert explain_split(18, 9).vmemmap_pages_if_kept_optimised == 511


def test_a_kernel_that_refuses_the_depth_says_so() -> None:
    kernel = attrs.evolve(KernelSwitches(), xarray="v6.15")
    refused = share_one_page(PRESETS["b-today"].policy, 18, Geometry(), kernel)
    assert refused.refused is not None
    assert (refused.nodes, refused.vmemmap_pages, dict(refused.folios)) == (0, 0, {18: 1})
    assert share_one_page(PRESETS["ladder-1g"].policy, 18, Geometry(), kernel).nodes == 3


def test_the_page_it_prints() -> None:
    result = CliRunner().invoke(gmemsim, ["explain", "split", "1G", "4K"])
    assert result.exit_code == 0
    for figure in ("4,161", "2,396,736 B", "4,095", "20.0 MiB", "staged-partial"):
        assert figure in result.output
    assert max(map(len, result.output.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["4K", "1G"], "expected less than OLD"),
        (["1", "4K"], "expected a size with a unit"),
        (["3M", "4K"], "not a power-of-two"),
        (["1G", "4K", "--policy", "stagd"], "did you mean 'staged'"),
        (["1G", "4K", "--page-size", "8K"], "expected 4K, 16K or 64K"),
        (["2M", "4K", "--policy", "ladder-1g"], "ladder"),
        (["1024P", "4K"], "no machine has hugepages of 1024P with 4K pages: they are of 64K, 2M, 32M or 1G"),
        (["16M", "4K"], "no machine has hugepages of 16M"),
        (["1G", "64K", "--page-size", "64K"], "with 64K pages: they are of 2M, 512M or 16G"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(gmemsim, ["explain", "split", *arguments])
    assert result.exit_code == 2
    assert message in result.output


def test_policies_are_listed() -> None:
    result = CliRunner().invoke(gmemsim, ["policies"], env={"COLUMNS": None})
    assert result.exit_code == 0
    listed = result.output.partition("\n\n")[0]
    assert [line.split()[0] for line in listed.splitlines()] == list(PRESETS)
