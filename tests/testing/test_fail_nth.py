# SPDX-License-Identifier: GPL-2.0-or-later
"""The loop that fails each allocation in turn."""

from __future__ import annotations

import doctest

import pytest

from gmemsim.errors import KernelError
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.policy import Policy
from gmemsim.host.host import Host
from gmemsim.testing import each_nth, fail_nth

M = 1 << 20
BUSY = ("filemap_nodes", "vmemmap", "attributes", "stage2_page_tables")


def make(policy: Policy | None = None) -> GuestMemfd:
    guest = GuestMemfd(Host(hugetlb={2 * M: 1}), "vm0", size=2 * M, backing=2 * M, policy=policy)
    guest.allocate(0, 2 * M)
    return guest


def share(guest: GuestMemfd) -> None:
    guest.set_attributes(0, 4096, private=False)


def test_the_example_of_the_documentation() -> None:
    assert doctest.testmod(each_nth).failed == 0


def test_every_allocation_fails_once_and_nothing_is_lost() -> None:
    failures = list(fail_nth(make, share))
    assert [failure.nth for failure in failures] == list(range(1, len(failures) + 1))
    asked = sum(_allocated(after) - _allocated(before) for before, after in [(make(), _shared())])
    assert len(failures) == asked
    for failure in failures:
        assert failure.error is not None
        assert failure.error.name == "ENOMEM"
        assert failure.guest.inode.attributes.all_private(0, 512)
        assert failure.guest.folios == {9: 1, 0: 0} or failure.guest.folios == {9: 1}


def _shared() -> GuestMemfd:
    guest = make()
    share(guest)
    return guest


def _allocated(guest: GuestMemfd) -> int:
    return guest.host.ledger.total.allocated


@pytest.mark.parametrize(("account", "number"), [("filemap_nodes", 8), ("vmemmap", 7), ("memdesc", 0)])
@pytest.mark.parametrize("mode", ["once", "forever"])
def test_one_account_alone(account: str, number: int, mode: str) -> None:
    failures = list(fail_nth(make, share, account=account, mode="once" if mode == "once" else "forever"))
    assert sum(failure.error is not None for failure in failures) == number


def test_a_call_that_takes_nothing_has_no_failures() -> None:
    assert list(fail_nth(make, lambda guest: guest.set_attributes(0, 4096, private=True))) == []


def test_a_call_that_fails_of_itself_does_so_for_ever() -> None:
    loop = fail_nth(make, lambda guest: guest.set_attributes(0, 5, private=True))
    first = next(loop)
    assert isinstance(first.error, KernelError)
    assert first.error.name == "EINVAL"


def test_an_account_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="filemap_nods"):
        next(fail_nth(make, share, account="filemap_nods"))


def test_broken_invariants_end_the_loop() -> None:
    def break_it(guest: GuestMemfd) -> None:
        guest.inode.count_folios([(0, 1)])
        share(guest)

    with pytest.raises(AssertionError):
        next(fail_nth(make, break_it))
