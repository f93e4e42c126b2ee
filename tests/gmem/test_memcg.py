# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's own limit of kernel memory: what is charged to its memcg, and that it fails before the host's budget."""

from typing import Any

import pytest

from gmemsim.errors import OutOfMemory, SimulationRefused
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.sim.run import run
from tests.gmem.worlds import PAGE, G, M, attributes, live, make_host, outcome, settle, sound

NODES_1G = 4161
NODE = 576


def limited(limit: int | None, *, mapping: Any = "snp", stage2: Any = "range", **switches: Any) -> GuestMemfd:
    """A guest of 1G with a limit of its own, on a host that has plenty."""
    host = make_host({G: 1}, kernel_memory=G, **switches)
    guest = GuestMemfd(host, "vm0", size=G, backing=G, mapping=mapping, stage2=stage2, kernel_memory=limit)
    guest.allocate(0, G)
    return guest


def test_what_is_charged_and_why_is_in_the_table_of_accounts() -> None:
    charged = [name for name, account in ACCOUNTS.items() if account.charged]
    assert charged == ["filemap_nodes", "stage2_page_tables", "pamt"]
    assert all(len(account.charged) > 10 for _, account in ACCOUNTS.items() if account.charged)


@pytest.mark.parametrize("missing", [0, 1])
def test_the_limit_is_exact(missing: int) -> None:
    guest = limited((1 + NODES_1G) * NODE - missing)
    error = outcome(lambda: guest.set_attributes(0, PAGE, False))
    assert (error is None) == (not missing)
    if error is not None:
        assert isinstance(error, OutOfMemory)
        assert error.error_offset == 0
        assert "no memory for object 4161 of 4161: the limit of vm0, 2.29 MiB of kernel memory, leaves" in str(error)
        assert attributes(guest) == []
    sound(guest)


def test_what_is_not_charged_does_not_count() -> None:
    guest = limited((1 + NODES_1G) * NODE)
    guest.set_attributes(0, PAGE, False)
    assert live(guest, "vmemmap") == 4095  # 16 MiB, more than the limit
    assert live(guest, "attributes") > 0


def test_kernels_without_the_fix_do_not_charge_the_nodes_of_splits() -> None:
    guest = limited(NODE, account_nodes=False)
    guest.set_attributes(0, PAGE, False)
    assert guest.charged_bytes() == NODE
    guest.set_attributes(0, PAGE, True)
    assert guest.charged_bytes() == NODE
    sound(guest)
    settle(guest.host)
    guest.set_attributes(PAGE, PAGE, False)
    sound(guest)


def test_what_is_stored_after_a_split_is_charged_again() -> None:
    host = make_host({2 * M: 9}, account_nodes=False)
    guest = GuestMemfd(host, "vm0", size=18 * M, backing=2 * M, kernel_memory=NODE)
    guest.allocate(0, 16 * M)
    guest.set_attributes(0, PAGE, False)
    error = outcome(lambda: guest.allocate(16 * M, 2 * M))
    assert isinstance(error, OutOfMemory)
    assert "the limit of vm0" in str(error)
    assert error.error_offset == 16 * M
    sound(guest)


def test_page_by_page_stores_are_charged_by_every_kernel() -> None:
    host = make_host(account_nodes=False)
    guest = GuestMemfd(host, "vm0", size=4096 * PAGE, backing=PAGE, kernel_memory=10 * NODE)
    assert isinstance(outcome(lambda: guest.allocate(0, 4096 * PAGE)), OutOfMemory)
    assert live(guest, "filemap_nodes") <= 1  # a failed store may leave an empty root, in the kernel as well
    guest.allocate(0, 64 * PAGE)
    sound(guest)


def test_nodes_that_wait_for_a_grace_period_are_still_charged() -> None:
    guest = limited((1 + NODES_1G) * NODE + 100)
    guest.set_attributes(0, PAGE, False)
    guest.set_attributes(0, PAGE, True)
    assert guest.charged_bytes() == (1 + NODES_1G) * NODE
    assert isinstance(outcome(lambda: guest.set_attributes(0, PAGE, False)), OutOfMemory)
    settle(guest.host)
    assert guest.charged_bytes() == NODE
    guest.set_attributes(0, PAGE, False)


def test_tables_and_pairs_are_charged() -> None:
    guest = limited(NODE + PAGE + 512 * PAGE + 1024 * PAGE - 1, mapping="tdx", stage2="follow-folio", pamt="dynamic")
    guest.fault(0, G)
    error = outcome(lambda: guest.set_attributes(0, PAGE, False))
    assert isinstance(error, OutOfMemory)
    assert "pamt of vm0" in str(error)
    assert live(guest, "pamt") == 2 * 511
    sound(guest)


def test_the_budget_of_the_host_still_holds_and_limits_are_of_each_guest() -> None:
    host = make_host({G: 2}, kernel_memory=40 * M)
    first, second = (
        GuestMemfd(host, name, size=G, backing=G, kernel_memory=limit) for name, limit in [("a", M), ("b", None)]
    )
    for guest in (first, second):
        guest.allocate(0, G)
    assert "the limit of a, 1.00 MiB" in str(outcome(lambda: first.set_attributes(0, PAGE, False)))
    second.set_attributes(0, PAGE, False)
    large = GuestMemfd(make_host({G: 1}, kernel_memory=10 * M), "c", size=G, backing=G, kernel_memory=64 * M)
    large.allocate(0, G)
    assert "the budget of 10.0 MiB" in str(outcome(lambda: large.set_attributes(0, PAGE, False)))


SCENARIO = """\
gmemsim: 1
host: {{hugetlb: {{1G: 2}}, kernel_memory: 1G{host}}}
guests:
  - {{name: vm, memory: 1G, backing: 1G, count: 2, kernel_memory: {limit}}}
workload:
  - allocate: {{guest: all, offset: 0, size: 1G}}
  - convert: {{guest: vm-0, offset: 0, size: 4K, to: shared, expect_error: {{errno: ENOMEM, error_offset: 0}}}}
expect:
  - {{metric: conversions.failed.ENOMEM, eq: 1}}
  - {{metric: guests.vm-0.kernel_memory.limit_bytes, eq: 2097152}}
  - {{metric: guests.vm-0.kernel_memory.charged_bytes, eq: 576}}
"""


def test_in_a_scenario() -> None:
    result = run(parse_scenario(SCENARIO.format(limit="2M", host="")), check=True)
    assert result.ok
    (failed,) = [event for event in result.timeline.events if event.errno]
    assert "the limit of vm-0" in failed.detail
    without_fix = run(parse_scenario(SCENARIO.format(limit="2M", host=", account_nodes: false")), check=True)
    assert [verdict["ok"] for verdict in without_fix.summary["expect"]] == [False, True, True, False]


def test_a_guest_may_be_unlimited_and_one_that_cannot_begin_is_an_outcome() -> None:
    scenario = parse_scenario(SCENARIO.format(limit="unlimited", host=""))
    summary = run(scenario).summary
    assert summary["conversions"]["failed"] == {}
    assert "limit_bytes" not in summary["guests"][0]["kernel_memory"]
    assert summary["guests"][0]["kernel_memory"]["charged_bytes"] == (1 + NODES_1G) * NODE
    tiny = parse_scenario(SCENARIO.format(limit="512B", host=""))
    assert run(tiny).summary["calls"]["allocate"]["failed"] == {"ENOMEM": 2}


def test_static_pamt_that_does_not_fit_is_refused() -> None:
    with pytest.raises(SimulationRefused, match="the host cannot be made: pamt of"):
        run(
            parse_scenario("""\
gmemsim: 1
host: {hugetlb: {1G: 2}, kernel_memory: 1M, pamt: static}
guests: [{name: vm, memory: 1G, backing: 1G}]
workload: []
""")
        )
