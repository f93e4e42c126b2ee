# SPDX-License-Identifier: GPL-2.0-or-later
"""What CONTRIBUTING.md says of additions: an account and a split policy, each in two places, run end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gmemsim.cli.main import gmemsim
from gmemsim.gmem.rules import SPLITS, SplitRule
from gmemsim.host.accounts import ACCOUNTS, Account
from gmemsim.host.geometry import Geometry
from gmemsim.results.metrics import find_metric
from tests.gmem.worlds import PAGE, G, make_guest

SCENARIO = """\
gmemsim: 1
host: {hugetlb: {1G: 1}}
guests: [{name: vm, memory: 1G, backing: 1G, policy: {split: thirds}}]
workload:
  - allocate: {guest: vm, offset: 0, size: 1G}
  - convert: {guest: vm, offset: 0, size: 4K, to: shared}
expect:
  - {metric: splits.1G->256K, eq: 1}
  - {metric: splits.256K->4K, eq: 1}
"""


class Thirds(SplitRule):
    """A third of the orders at a time."""

    def rungs(self, order: int, geometry: Geometry) -> tuple[int, ...]:
        return (order, order // 3, 0)


def test_an_account_is_a_row_and_whoever_takes_its_memory() -> None:
    ACCOUNTS.add("scratch", Account("scratch", object_bytes=128, colour="#000000", words="a test's"))
    try:
        guest = make_guest()
        holder = guest.host.ledger.holder("scratch", guest.name)
        holder.alloc(5)
        assert guest.host.ledger.tallies["scratch"].live_bytes == 640
        assert find_metric("scratch.peak_bytes")
        with pytest.raises(AssertionError, match="vm0: 5 objects of scratch held, 0 known"):
            guest.check()
        holder.known = lambda: 5
        guest.check()
        guest.host.check()
        holder.free(2)
        with pytest.raises(AssertionError, match="3 objects of scratch held, 5 known"):
            guest.check()
    finally:
        ACCOUNTS.remove("scratch")


@pytest.mark.parametrize("account", ACCOUNTS)
def test_a_leak_of_any_account_is_found(account: str) -> None:
    guest = make_guest()
    guest.set_attributes(0, PAGE, False)
    guest.check()
    guest.host.ledger.holder(account, guest.name).alloc(5)
    with pytest.raises(AssertionError, match=f"objects of {account} held"):
        guest.check()


def test_a_leak_of_the_host_is_found() -> None:
    guest = make_guest(G)
    guest.host.ledger.holder("vmemmap_page_tables", "(host)").alloc(1)
    with pytest.raises(AssertionError, match="9 objects of vmemmap_page_tables held, 8 known"):
        guest.host.check()


def test_a_split_policy_is_a_class_and_a_row(tmp_path: Path) -> None:
    file = tmp_path / "thirds.yaml"
    file.write_text(SCENARIO, encoding="utf-8")
    SPLITS.add("thirds", Thirds("thirds", "a third of the orders at a time"))
    try:
        runner = CliRunner()
        ran = runner.invoke(gmemsim, ["run", str(file), "--json"])
        assert ran.exit_code == 0, ran.output
        assert json.loads(ran.stdout)["splits"] == {"1G->256K": 1, "256K->4K": 1}
        policies = ["--policy", "b-today", "--policy", "x=split:thirds"]
        assert runner.invoke(gmemsim, ["compare", str(file), *policies]).exit_code == 0
        assert "thirds" in runner.invoke(gmemsim, ["policies"]).output
    finally:
        SPLITS.remove("thirds")
