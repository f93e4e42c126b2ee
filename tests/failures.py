# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/failures.md: what a conversion that fails leaves, for every ordering and every step that can fail.

Every row is what was found after a real call in which one object could not be had; nothing is written by hand but the
frame.  ``python -m tests.failures`` writes the page; a test compares it with what the runs say now.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import attrs

from gmemsim.errors import KernelError
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.rules import ORDERINGS
from gmemsim.host.accounts import ACCOUNTS
from tests.gmem.test_failures import across, mapped, share, take_back
from tests.gmem.test_model_of_2026 import shrunken
from tests.gmem.worlds import G, M, attributes, layout, mapping, outcome, settle, sound

PAGE = Path(__file__).parents[1] / "docs" / "failures.md"

Left = tuple[str, str]
"""The errno and where it stopped, and what is left, in words."""

Mode = Literal["once", "forever"]
MODES: tuple[Mode, ...] = get_args(Mode)

HEAD = """\
# What a conversion that fails leaves

Written by `python -m tests.failures` from runs, and compared with them by a test; do not edit it. In every run one
object of one account cannot be had, or a page is pinned. What an ordering promises, in words, is in `gmemsim
policies`.

*Shared* and *private*: a conversion from the last page of the first of three 2M hugepages to the first page of the
third; the guest has touched everything, and the host what is shared. *Private, the filemap has shrunk*: one page of
1G, after a hole, when merging needs a node. The numbers of objects are those that the call asks for, 1 the first.
*From then on*: no later one can be had either; only rows that differ are listed.

- *zapped in vain*: base pages that the guest had mapped and must fault in again, though nothing was converted there
- *unmapped from the host*: base pages that stay shared and that host processes must fault in again
- *large leaves split*: leaves of the second stage that are smaller now, while the guest still has all of its pages
  mapped
- *folios left split*: hugepages that are in pieces though nothing in them was converted
- *inconsistent*: base pages whose attributes and folios do not fit each other, because the way back failed too
"""


TABLE = ("| what cannot be had | fails with | leaves |", "|---|---|---|")


@attrs.frozen
class World:
    """One conversion: its name, the guest before it (by its policy), and the call."""

    name: str
    make: Callable[..., GuestMemfd]
    call: Callable[[GuestMemfd], None]


def _to_shared(**policy: Any) -> GuestMemfd:
    return mapped(2 * M, 3, **policy)


def _to_private(**policy: Any) -> GuestMemfd:
    guest = mapped(2 * M, 3, **policy)
    share(guest)
    guest.fault(*across(guest))
    guest.fault(*across(guest), by="host")
    settle(guest.host)
    return guest


def _shrunken(**policy: Any) -> GuestMemfd:
    guest = shrunken(**policy)
    guest.fault(0)
    guest.fault(0, by="host")
    return guest


WORLDS = (
    World("shared", _to_shared, share),
    World("private", _to_private, take_back),
    World("private, the filemap has shrunk", _shrunken, lambda guest: guest.set_attributes(0, G, True)),
)

VARIANTS = [
    (f"`{name}`, `on_split_failure: {left}`" if rule.splits_ahead else f"`{name}`", {"ordering": name, **more})
    for name, rule in ORDERINGS.items()
    for left in (("undo", "keep") if rule.splits_ahead else ("undo",))
    for more in ({"on_split_failure": left},)
]
"""Every ordering, in every form in which its failures differ: how it is called, and the policy."""


def left_by(world: World, policy: dict[str, str], arm: Callable[[GuestMemfd], None]) -> Left | None:
    """What the conversion leaves once ``arm`` has seen to its failure; ``None`` if it succeeds."""
    guest = world.make(**policy)
    arm(guest)
    before, large, leaves, host = attributes(guest), _large_folios(guest), _large_leaves(guest), _host_mapped(guest)
    error: KernelError | None = outcome(lambda: world.call(guest))
    sound(guest)
    if error is None:
        return None
    stats, inconsistent = guest.stats, guest.inode.inconsistent.pages(0, guest.pages)
    unmapped = [page for page in host - _host_mapped(guest) if guest.inode.attributes.is_shared(page)]
    unchanged, left_split = attributes(guest) == before, large - _large_folios(guest)
    facts = {
        "hugepages before it are converted": not unchanged and not inconsistent,
        f"zapped in vain: {stats.zapped_in_vain}": stats.zapped_in_vain,
        f"unmapped from the host: {len(unmapped)}": unmapped,
        f"large leaves split: {leaves - _large_leaves(guest)}": unchanged and not stats.zapped_in_vain,
        f"folios left split: {left_split}": unchanged and not stats.lost_hugepages,
        f"inconsistent: {inconsistent}": inconsistent,
        f"hugepages lost: {stats.lost_hugepages}": stats.lost_hugepages,
    }
    said = [words for words, holds in facts.items() if holds and not words.endswith(": 0")]
    where = f"{error.name} at hugepage {(error.error_offset or 0) // guest.backing + 1}"
    return where, "; ".join(said) or "everything as it was"


def _large_folios(guest: GuestMemfd) -> int:
    return sum(number for _, number, order in layout(guest) if order)


def _large_leaves(guest: GuestMemfd) -> int:
    return sum(end - start >> order for start, end, order in mapping(guest) if order)


def _host_mapped(guest: GuestMemfd) -> set[int]:
    """The base pages that host processes have mapped; some hundreds here."""
    return {page for start, end in guest.inode.host_mapped.ranges(0, guest.pages) for page in range(start, end)}


def rows(world: World, policy: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """The table of one conversion under one policy: what could not be had, the errno and where, what is left."""
    for account in ACCOUNTS:
        once, forever = (dict(_failures(world, policy, account, mode)) for mode in MODES)
        yield from _ranges(account, once)
        more = {number: left for number, left in forever.items() if once.get(number) != left}
        yield from _ranges(f"from then on: {account}", more)
    if world.call is take_back:
        left = left_by(world, policy, lambda guest: guest.pin(3 * M, 4096))
        if left is not None:
            yield "a page of hugepage 2 is pinned", *left


def _failures(world: World, policy: dict[str, str], account: str, mode: Mode) -> Iterator[tuple[int, Left]]:
    """What every failing object of ``account`` leaves, by its number."""
    for number in itertools.count(1):
        left = left_by(world, policy, lambda guest, n=number: guest.host.ledger.inject(account, n, mode))  # type: ignore[misc]
        if left is None:
            return
        yield number, left


def _ranges(name: str, found: Mapping[int, Left]) -> Iterator[tuple[str, str, str]]:
    """Neighbouring objects whose failure leaves the same, in one row."""
    first = None
    for number, left in found.items():
        first = number if first is None else first
        if found.get(number + 1) != left:
            yield f"{name} {first}" if first == number else f"{name} {first}-{number}", *left
            first = None


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, policy in VARIANTS:
        parts.append(f"\n## {title}\n")
        for world in WORLDS:
            lines = [f"| {' | '.join(row)} |" for row in rows(world, policy)]
            parts.append(f"\nTo {world.name}:\n")
            if lines:
                parts.append(
                    "\n| what cannot be had | fails with | leaves |\n|---|---|---|\n" + "\n".join(lines) + "\n"
                )
            else:
                parts.append("\nnothing here can fail.\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
