# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's memory control group: how much kernel memory may be charged to it.

Theory of operation
-------------------
The row of an account says whether its objects are charged to their guest, and why
(:attr:`gmemsim.host.accounts.Account.charged`).  What is charged stays so until its memory returns: objects that wait
for a grace period count.  The guest's own memory does not.

In kernels without the fix of 2026 (``account_nodes`` off) the filemap's nodes that splits have made are charged to
nobody.  Which of the nodes that wait for a grace period those are is not known, so there none of them counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gmemsim.units import human_size

if TYPE_CHECKING:
    from gmemsim.host.ledger import Holder


def charged_bytes(holders: list[Holder]) -> int:
    """Bytes that are charged of what ``holders``, those of charged accounts of one guest, hold."""
    charged = 0
    for holder in holders:
        uncharged = 0 if holder.uncharged is None else holder.uncharged()
        charged += (holder.live - uncharged) * holder.object_bytes
    return charged


class Memcg:
    """The ``limit``, in bytes, of what ``guest`` may hold with ``holders``, those of the charged accounts."""

    __slots__ = ("_guest", "_holders", "limit")

    def __init__(self, guest: str, limit: int, holders: list[Holder]) -> None:
        self._guest = guest
        self._holders = holders
        self.limit = limit

    def charged(self) -> int:
        """Bytes that are charged now."""
        return charged_bytes(self._holders)

    def room(self, object_bytes: int) -> int:
        """Objects of ``object_bytes`` that can still be charged."""
        return max(0, self.limit - self.charged()) // object_bytes

    def refusal(self) -> str:
        """Why there is no more."""
        return f"the limit of {self._guest}, {human_size(self.limit)} of kernel memory, leaves no room"
