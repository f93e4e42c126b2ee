# SPDX-License-Identifier: GPL-2.0-or-later
"""Prices that a user gives beside a scenario."""

import pytest

from gmemsim.host.work import COUNTERS
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.scenario.prices import read_price, with_prices

SCENARIO = """
gmemsim: 1
host: {hugetlb: {2M: 1}, prices: {psmashes: 1us, kicks: 3us}}
guests: [{name: vm0, memory: 2M, backing: 2M}]
workload: []
"""


@pytest.mark.parametrize("counter", COUNTERS)
def test_every_counter_can_be_priced_by_its_name(counter: str) -> None:
    assert read_price(f"{counter}=1.5us") == (counter, 1500.0)


@pytest.mark.parametrize(
    ("name", "counter"),
    [
        ("rmpupdate", "rmp_updates"),
        ("PSMASH", "psmashes"),
        ("demote", "demotes"),
        ("kick", "kicks"),
        ("exit", "exits"),
        ("tlb-flush", "tlb_flushes"),
        ("accept", "pages_accepted"),
        ("host_pages_unmapped", "host_pages_unmapped"),
    ],
)
def test_names_as_people_write_them(name: str, counter: str) -> None:
    assert read_price(f"{name}=2ns") == (counter, 2.0)


def test_they_stand_above_those_of_the_file() -> None:
    scenario = parse_scenario(SCENARIO)
    assert with_prices(scenario, {}) is scenario
    assert with_prices(scenario, {"kicks": 5.0}).host.prices == {"psmashes": 1000.0, "kicks": 5.0}
