# SPDX-License-Identifier: GPL-2.0-or-later
"""Fail every allocation of a call in turn, each on a fresh guest, and see what that leaves behind.

Theory of operation
-------------------
The ledger is the only place where memory is taken, so failing "the n-th object requested from now on" for n = 1, 2, 3 …
reaches every allocation that a call makes.  The loop ends with the first n that the call does not reach any more: then
everything that can fail has failed once.  After each failure the invariants of guest and host hold, or the loop raises
``AssertionError`` with the one that does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Literal

import attrs

from gmemsim.errors import KernelError
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.host.injection import ANY


@attrs.frozen
class Failure:
    """What happened when the ``nth`` object could not be had.

    ``guest`` is as the call left it; ``error`` is what the call raised, ``None`` if it went on without the object.
    """

    nth: int
    guest: GuestMemfd
    error: KernelError | None


def fail_nth(
    make: Callable[[], GuestMemfd],
    call: Callable[[GuestMemfd], object],
    *,
    account: str = ANY,
    mode: Literal["once", "forever"] = "once",
) -> Iterator[Failure]:
    """Carry out ``call`` on a fresh guest of ``make``'s, again and again: the first, second, … object cannot be had.

    ``account`` (default: all) limits that to objects of one account; ``mode`` is ``"once"`` by default, ``"forever"``
    fails all later objects too.  Every guest must be on a host of its own.  ``ValueError`` for an unknown account.

    >>> from gmemsim.host.host import Host
    >>> def make():
    ...     guest = GuestMemfd(Host(hugetlb={1 << 21: 1}), "vm0", size=1 << 21, backing=1 << 21)
    ...     guest.allocate(0, 1 << 21)
    ...     return guest
    >>> failures = list(fail_nth(make, lambda guest: guest.set_attributes(0, 4096, private=False)))
    >>> len(failures), {failure.error.name for failure in failures}  # 8 nodes, 7 vmemmap pages and what attributes need
    (16, {'ENOMEM'})
    """
    for nth in count(1):
        guest = make()
        guest.host.ledger.inject(account, nth, mode)
        (injection,) = guest.host.ledger.armed()
        error: KernelError | None = None
        try:
            call(guest)
        except KernelError as caught:
            error = caught
        armed = injection in guest.host.ledger.armed()
        if error is None and armed and (mode == "once" or injection.left > 1):
            return
        guest.check()
        guest.host.check()
        yield Failure(nth, guest, error)
