# SPDX-License-Identifier: GPL-2.0-or-later
"""The counters of work, and their table."""

from __future__ import annotations

import pytest

from gmemsim.host.host import Host
from gmemsim.host.switches import KernelSwitches
from gmemsim.host.work import COUNTERS, Work


def test_counts_are_in_the_order_of_the_table() -> None:
    work = Work(**{name: number for number, name in enumerate(COUNTERS)})
    assert work.counts() == tuple(range(len(COUNTERS)))
    assert [getattr(work, name) for name in COUNTERS] == list(range(len(COUNTERS)))


def test_at_first_nothing_is_done() -> None:
    assert Work().counts() == (0,) * len(COUNTERS)
    assert repr(Work()) == "Work()"


def test_works_are_equal_if_every_count_is() -> None:
    assert Work(restores=1, exits=2) == Work(exits=2, restores=1)
    assert Work(restores=1) != Work()
    assert Work() != Work(exits=1)


@pytest.mark.parametrize("waits", [False, True])
def test_a_flush_is_counted_with_a_grace_period_where_the_kernel_waits(waits: bool) -> None:
    host = Host(hugetlb={"2M": 1}, kernel=KernelSwitches(synchronize_rcu=waits))
    host.count_flush()
    host.count_flush()
    assert (host.work.tlb_flushes, host.work.rcu_synchronisations) == (2, 2 * waits)
