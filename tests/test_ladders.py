# SPDX-License-Identifier: GPL-2.0-or-later
"""The law of adjacent rungs: runs with two rungs in the middle tell the sums of all ladders, instant by instant."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Literal

import numpy as np
import pytest

from gmemsim.gmem.policy import Policy
from gmemsim.scenario.generators import Kexec, Scatter
from gmemsim.scenario.model import Allocate, Convert, FaultIn, GuestSpec, HostSpec, PunchHole, Scenario, Step
from gmemsim.studies.ladders import Floats, Law, Rungs, least, mask_of, number_of_ladders, probes, rungs_of
from gmemsim.studies.trials import Instants, Workload, always_there, measure

M = 1 << 20

SETTINGS: list[dict[str, str]] = [
    {},
    {"merge": "cleanup"},
    {"merge": "never"},
    {"when": "fault"},
    {"when": "fault", "merge": "never", "vmemmap": "off"},
    {"vmemmap": "partial"},
    {"vmemmap": "reoptimize"},
    {"vmemmap": "off"},
    {"ordering": "attributes-first"},
    {"ordering": "reserve-first", "vmemmap": "partial"},
    {"ordering": "split-first", "vmemmap": "reoptimize"},
    {"ordering": "block-abort"},
]
"""Settings to which the law applies."""


def workload(backing: int, seed: int, **host: str) -> Workload:
    """Buffers that come and go, ranges of all sizes and alignments, a hole, and everything back to private."""
    rng = Random(seed)
    memory = 2 * backing
    ranges: list[Step] = []
    for i in range(12):
        size = 4096 << rng.randrange((backing // 4096).bit_length() - 1)
        offset = rng.randrange((memory - size) // 4096 + 1) * 4096
        to: Literal["shared", "private"] = "shared" if rng.random() < 0.67 else "private"
        ranges.append(Convert(guest="a", offset=offset, size=size, to=to, at=(i + 1) * 4_000_000))
        ranges.append(FaultIn(guest="a", offset=offset, size=size, by="host" if to == "shared" else "guest"))
    scattered = Scatter(guest="a", count=12, duration=10**8, lifetime=3 * 10**7, seed=seed)
    rest = (
        scattered,
        Convert(guest="a", offset=0, size=backing, to="private"),
        PunchHole(guest="a", offset=0, size=backing),
        *ranges[:6],
        Kexec(guest="a"),
    )
    scenario = Scenario(
        title="all sorts",
        seed=seed,
        host=HostSpec(hugetlb={backing: 2}, **host),  # type: ignore[arg-type]
        guests=(GuestSpec(name="a", memory=memory, backing=backing),),
        workload=(Allocate(guest="a", offset=0, size=memory), *ranges, *rest),
    )
    return Workload(scenario=scenario, kept=always_there(Workload(scenario=scenario)))


def instants(load: Workload, order: int, rungs: Rungs, setting: dict[str, str]) -> Instants:
    found = measure(load, (Policy(split=(order, *rungs, 0), **setting), True)).instants
    assert found is not None
    return found


def instants_of(law: Law, rungs: Rungs) -> Floats:
    """What the law says of one ladder, instant by instant."""
    total: Floats = np.sum([law._steps[step] for step in pairwise((law.order, *rungs, 0))], axis=0)
    return total


def check(load: Workload, order: int, setting: dict[str, str], ladders: list[Rungs], told: str) -> None:
    """The law says of ``ladders`` what runs of them do."""
    ran = {rungs: instants(load, order, rungs, setting) for rungs in probes(order)}
    parts = {name: {rungs: getattr(found, name) for rungs, found in ran.items()} for name in ("left", "calls")}
    laws = {name: Law(order, part) for name, part in parts.items()}
    highest = {name: law.highest() for name, law in laws.items()}
    time = Law(order, {rungs: found.time for rungs, found in ran.items()}).highest()
    zeroed = least(order, {rungs: found.zeroed[0] for rungs, found in ran.items()})
    for rungs in ladders:
        found = instants(load, order, rungs, setting)
        where = f"{told}, {setting}, rungs {rungs}"
        for name, law in laws.items():
            np.testing.assert_allclose(
                instants_of(law, rungs), getattr(found, name), rtol=1e-9, atol=1e-3, err_msg=where
            )
            assert highest[name][mask_of(rungs)] == pytest.approx(getattr(found, name).max(), rel=1e-9), where
        assert highest["left"][mask_of(rungs)] <= found.held, where
        assert time[mask_of(rungs)] == pytest.approx(found.time[0], rel=1e-9), where
        assert zeroed[mask_of(rungs)] <= found.zeroed[0] * (1 + 1e-9), where


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_all_ladders_of_a_2m_hugepage_by_brute_force(setting: dict[str, str]) -> None:
    """Every one of the 256 in the usual setting, every sixteenth in the others."""
    step = 1 if not setting else 16
    ladders = [rungs_of(mask) for mask in range(0, number_of_ladders(9), step)]
    check(workload(2 * M, 1), 9, setting, ladders, "seed 1")


@pytest.mark.parametrize("setting", [{"vmemmap": "partial"}, {"merge": "never"}], ids=str)
def test_some_ladders_of_a_1g_hugepage(setting: dict[str, str]) -> None:
    """Chosen at random; with descriptors, which a fourth of all kernels will have."""
    seed = len(str(setting))
    rng = Random(seed)
    ladders = [rungs_of(rng.randrange(number_of_ladders(18))) for _ in range(3)] + [tuple(range(17, 0, -1))]
    check(workload(1 << 30, seed, memdesc="folio-descriptors"), 18, setting, ladders, f"seed {seed}")


@pytest.mark.parametrize("order", range(1, 8))
def test_a_law_of_sums_is_exact(order: int) -> None:
    """Of anything that is a sum over steps: the arithmetic alone, with every ladder and several sizes of a chunk."""
    rng = np.random.default_rng(order)
    step = rng.integers(0, 1000, (order + 1, order + 1, 5)).astype(float)

    def total(rungs: Rungs) -> Floats:
        found: Floats = np.sum([step[a, b] for a, b in pairwise((order, *rungs, 0))], axis=0)
        return found

    law = Law(order, {rungs: total(rungs) for rungs in probes(order)})
    highest = law.highest()
    for mask in range(number_of_ladders(order)):
        assert mask_of(rungs_of(mask)) == mask
        np.testing.assert_allclose(instants_of(law, rungs_of(mask)), total(rungs_of(mask)))
        assert highest[mask] == pytest.approx(total(rungs_of(mask)).max())
