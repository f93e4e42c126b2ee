# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether allocations to come can fail, so that those that cannot need not be made one by one.

What may live here: questions to a ledger about the future.  A new way to be refused belongs in
:meth:`~gmemsim.host.ledger.Ledger._first_failure` and here.
"""

from __future__ import annotations

from gmemsim.host.injection import ANY
from gmemsim.host.ledger import Holder, Ledger


def cannot_fail(ledger: Ledger, needs: list[tuple[Holder, int]]) -> bool:
    """Whether every holder can have so many more objects, in whatever order they are asked for, or fewer of them.

    So it makes no difference in what steps they are taken: no object fails, and nothing is freed meanwhile.  On a host
    with NUMA nodes all must also have room at home.  Who watches may let any object fail.  O(needs).  ``needs`` are
    the holders of ``ledger`` and how many objects each is to get.
    """
    if ledger.watched():
        return False
    size = sum([holder.object_bytes * n for holder, n in needs])
    if ledger.budget is not None and ledger.total.live_bytes + size > ledger.budget:
        return False
    for injection in ledger.armed():
        if sum([n for holder, n in needs if injection.account in (ANY, holder.account)]) >= injection.left:
            return False
    for holder, _ in needs:
        memcg = ledger.memcgs.get(holder.guest)
        if memcg is not None and memcg.charged() + size > memcg.limit:
            return False
        if ledger.nodes is not None and not ledger.nodes.fits_at_home(holder, size):
            return False
    return True
