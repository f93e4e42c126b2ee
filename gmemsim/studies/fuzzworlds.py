# SPDX-License-Identifier: GPL-2.0-or-later
"""Random scenarios: hosts, guests, policies and calls that are likely to disagree with each other.

Theory of operation
-------------------
A world is the document of a scenario file: mappings, lists, text and numbers, as YAML has them.  So whatever is found
can be written down, shortened and run again by anyone.  Everything is drawn from one random number generator, which is
the only thing that a world depends on.

Random is where and how much; what tends to go wrong is preferred: ranges at the bounds of hugepages and of page tables,
what has just been shared, failures while a conversion is under way.

What may live here: what is drawn, and how often.  Whether a world is a scenario is the loader's matter.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

import attrs

from gmemsim.gmem.policy import Policy
from gmemsim.gmem.rules import ORDERINGS, SPLIT_FAILURES, SPLITS, VMEMMAPS, WHENS, Hysteresis, Ladder
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.geometry import Geometry
from gmemsim.host.injection import ANY
from gmemsim.units import size_name

World = dict[str, Any]
"""The document of a scenario file."""

K, M, G = 1 << 10, 1 << 20, 1 << 30

POOLS: Final = {4 * K: {2 * M: 8, G: 4}, 16 * K: {32 * M: 6}, 64 * K: {2 * M: 8, 512 * M: 3}}
"""Hugepages of the hosts, by base page (bytes)."""

MOST_BASE_PAGES = 200
"""Pages of a guest without hugepages."""

MOST_STEPS = 40
"""Steps of a workload."""


@attrs.define
class _Guest:
    """What the generator remembers of a guest: its pages, those of a hugepage, what it has shared, pinned, closed."""

    name: str
    pages: int
    hugepage: int
    shared: list[tuple[int, int]] = attrs.field(factory=list)
    pinned: list[tuple[int, int]] = attrs.field(factory=list)
    closed: bool = False


def world(rng: Random) -> World:
    """A random world, of one to three guests and up to :data:`MOST_STEPS` steps, drawn from ``rng``."""
    page = rng.choice((4 * K, 4 * K, 4 * K, 16 * K, 64 * K))
    host = _host(rng, page)
    left = dict(POOLS[page])
    guests: list[dict[str, Any]] = []
    known: list[_Guest] = []
    for number in range(rng.choice((1, 1, 1, 2, 3))):
        guests.append(_guest(rng, f"vm{number}", page, left, len(host.get("nodes", ()))))
        pages, hugepage = (_bytes(guests[-1][key]) // page for key in ("memory", "backing"))
        known.append(_Guest(guests[-1]["name"], pages, hugepage))
    made = _Workload(rng, page, known)
    return {
        "gmemsim": 1,
        "title": "fuzz",
        "host": host,
        "guests": guests,
        "workload": made.steps(rng.randint(4, MOST_STEPS)),
    }


def _bytes(text: str) -> int:
    from gmemsim.units import parse_size

    return parse_size(text)


def _host(rng: Random, page: int) -> dict[str, Any]:
    pool = {size_name(size): number for size, number in POOLS[page].items()}
    host: dict[str, Any] = {"page_size": size_name(page), "rcu_grace": "1us"}
    nodes = rng.choice(((), (), ("unlimited", "2M"), ("24M", "0")))
    if nodes:
        host["nodes"] = [{"hugetlb": dict(pool), "kernel_memory": budget} for budget in nodes]
        host["vmemmap_fallback"] = rng.random() < 0.5
    else:
        host["hugetlb"] = pool
    if rng.random() < 0.3:
        host["kernel_memory"] = rng.choice(("8M", "24M", "64M"))
    for key, values in (
        ("memdesc", ("struct-page", "struct-page-32", "struct-page-8", "folio-descriptors")),
        ("xarray", ("rfc", "rfc", "v6.15")),
        ("pamt", ("none", "dynamic", "static")),
        ("clearing", ("allocation", "touch")),
        ("account_nodes", (True, False)),
        ("shared_tail_pages", (False, True)),
        ("synchronize_rcu", (False, True)),
    ):
        if rng.random() < 0.3:
            host[key] = rng.choice(values)
    if Geometry(page).pamt_problem(host.get("pamt", "none")):
        del host["pamt"]
    return host


def _guest(rng: Random, name: str, page: int, left: dict[int, int], nodes: int) -> dict[str, Any]:
    """A guest that takes its hugepages from what is ``left`` of the pool."""
    sizes = [size for size, number in left.items() if number]
    backing = rng.choice([page, *sizes, *sizes, *sizes])
    if backing == page:
        number = rng.randint(1, MOST_BASE_PAGES)
    else:
        number = rng.randint(1, min(3, left[backing]))
        left[backing] -= number
    geometry = Geometry(page)
    guest: dict[str, Any] = {
        "name": name,
        "memory": size_name(backing * number),
        "backing": size_name(backing),
        "policy": _policy(rng, geometry.order_of(backing), geometry).as_file(),
    }
    if page == 4 * K:
        guest["mapping"] = rng.choice(("plain", "snp", "tdx"))
    if rng.random() < 0.4:
        guest["stage2"] = "follow-folio"
    if rng.random() < 0.2:
        guest["kernel_memory"] = rng.choice(("1M", "4M"))
    if backing == page and rng.random() < 0.5:
        guest["initially_shared"] = True
    if nodes:
        guest["node"] = rng.randrange(nodes)
    return guest


def _policy(rng: Random, order: int, geometry: Geometry) -> Policy:
    """Any policy for hugepages of ``order``: drawn again until its values go together."""
    while True:
        split: Any = rng.choice((*SPLITS, "ladder"))
        if split == "ladder":
            below = rng.sample(range(1, order), min(max(0, order - 1), rng.randint(0, 3))) if order > 1 else []
            split = Ladder((max(order, 1), *sorted(below, reverse=True), 0), _whens(rng, len(below) + 1))
        merge: Any = rng.choice(("eager", "eager", "cleanup", "never", Hysteresis(1), Hysteresis(2)))
        try:
            policy = Policy(
                split=split,
                when=None if isinstance(split, Ladder) else rng.choice((None, *WHENS)),
                merge=merge,
                vmemmap=rng.choice(VMEMMAPS.names()),
                ordering=rng.choice(("restructure-first", *ORDERINGS)),
                on_split_failure=rng.choice(("undo", *SPLIT_FAILURES)),
            )
            policy.rungs(order, geometry)
        except ValueError:
            continue
        return policy


def _whens(rng: Random, steps: int) -> tuple[str, ...]:
    late = rng.choice((0, 0, rng.randint(0, steps)))
    return ("conversion",) * (steps - late) + ("fault",) * late


class _Workload:
    """Makes steps, one after the other, for guests whose state it guesses from what it has asked for."""

    def __init__(self, rng: Random, page: int, guests: list[_Guest]) -> None:
        self._rng = rng
        self._page = page
        self._guests = guests
        self._calls = {
            self._share: 6,
            self._take_back: 6,
            self._allocate: 2,
            self._fault: 3,
            self._use: 3,
            self._unpin: 2,
            self._punch_hole: 2,
            self._poison: 0.3,
            self._close: 0.3,
            self._inject: 1.5,
            self._wait: 1,
        }
        """What makes the next steps, and how often in proportion."""

    def steps(self, number: int) -> list[dict[str, Any]]:
        """So many steps; most guests get their memory at first."""
        made = [_step("allocate", guest=guest.name, offset=0, size="all") for guest in self._guests]
        made = [step for step in made if self._rng.random() < 0.8]
        calls, weights = zip(*self._calls.items(), strict=True)
        while len(made) < number:
            call = self._rng.choices(calls, weights)[0]
            made += call(self._rng.choice(self._to_call()))
        return made

    def _to_call(self) -> list[_Guest]:
        """The guests to choose from: those that are open, and sometimes all."""
        still_open = [guest for guest in self._guests if not guest.closed]
        return still_open if still_open and self._rng.random() < 0.95 else self._guests

    def _range(self, guest: _Guest) -> tuple[int, int]:
        """Start and end in pages, often at the bounds of hugepages and of page tables."""
        rng, huge = self._rng, guest.hugepage
        table = self._page // 8
        base = rng.randrange(guest.pages // huge) * huge
        start = base + rng.choice((0, 0, 1, 5, table, table - 1, huge // 2, huge - 1, rng.randrange(huge)))
        start = min(start, guest.pages - 1)
        length = rng.choice((1, 1, 2, 3, 64, table, table + 1, huge, huge, 2 * huge, guest.pages, rng.randint(1, huge)))
        return start, min(start + length, guest.pages)

    def _of(self, guest: _Guest, start: int, end: int) -> dict[str, Any]:
        return {
            "guest": guest.name,
            "offset": size_name(start * self._page),
            "size": size_name((end - start) * self._page),
        }

    def _share(self, guest: _Guest) -> list[dict[str, Any]]:
        start, end = self._range(guest)
        guest.shared.append((start, end))
        return [*self._perhaps_failing(), _step("convert", **self._of(guest, start, end), to="shared")]

    def _take_back(self, guest: _Guest) -> list[dict[str, Any]]:
        if not guest.shared or self._rng.random() < 0.1:
            return [_step("convert", **self._of(guest, *self._range(guest)), to="private")]
        start, end = guest.shared.pop(self._rng.randrange(len(guest.shared)))
        end = min(end + self._rng.choice((0, 0, 0, 1, 700)), guest.pages)
        return [*self._perhaps_failing(), _step("convert", **self._of(guest, start, end), to="private")]

    def _perhaps_failing(self) -> list[dict[str, Any]]:
        return self._inject(self._guests[0]) if self._rng.random() < 0.2 else []

    def _allocate(self, guest: _Guest) -> list[dict[str, Any]]:
        return [_step("allocate", **self._of(guest, *self._range(guest)))]

    def _fault(self, guest: _Guest) -> list[dict[str, Any]]:
        by = self._rng.choice(("guest", "guest", "guest", "host"))
        return [_step("fault", **self._of(guest, *self._range(guest)), by=by)]

    def _use(self, guest: _Guest) -> list[dict[str, Any]]:
        """The host touches, or pins, pages that have been shared."""
        if not guest.shared:
            return self._fault(guest)
        start, end = self._rng.choice(guest.shared)
        first = self._rng.choice((start, end - 1, (start + end) // 2))
        last = min(end, first + self._rng.choice((1, 2, 600)))
        if self._rng.random() < 0.5:
            guest.pinned.append((first, last))
            return [_step("pin", **self._of(guest, first, last))]
        return [_step("fault", **self._of(guest, first, last), by="host")]

    def _unpin(self, guest: _Guest) -> list[dict[str, Any]]:
        if not guest.pinned:
            return self._fault(guest)
        bounds = guest.pinned.pop(self._rng.randrange(len(guest.pinned)))
        return [_step("unpin", **self._of(guest, *bounds))]

    def _punch_hole(self, guest: _Guest) -> list[dict[str, Any]]:
        start, end = self._range(guest)
        if self._rng.random() < 0.8:
            start = start // guest.hugepage * guest.hugepage
            end = start + guest.hugepage
        return [_step("punch_hole", **self._of(guest, start, end))]

    def _poison(self, guest: _Guest) -> list[dict[str, Any]]:
        start, _ = self._range(guest)
        return [_step("poison", guest=guest.name, offset=size_name(start * self._page))]

    def _close(self, guest: _Guest) -> list[dict[str, Any]]:
        guest.closed = True
        return [_step("close", guest=guest.name)]

    def _inject(self, guest: _Guest) -> list[dict[str, Any]]:
        account = self._rng.choice((*ACCOUNTS, ANY, ANY, ANY, ANY))
        nth = self._rng.choice((1, 2, 3, 4, 9, 66, 700, 4200, 9000))
        return [_step("inject", account=account, nth=nth, mode=self._rng.choice(("once", "once", "once", "forever")))]

    def _wait(self, guest: _Guest) -> list[dict[str, Any]]:
        return [_step("wait", **{"for": self._rng.choice(("1ns", "500ns", "1us", "5us"))})]


def _step(key: str, **arguments: Any) -> dict[str, Any]:
    return {key: arguments}
