# SPDX-License-Identifier: GPL-2.0-or-later
"""Random guests, policies, calls and failures on one host, for the laws that hold after each of them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, get_args

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gmemsim.errors import KernelError, OutOfMemory
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.rules import ORDERINGS, SPLIT_FAILURES, VMEMMAPS, WHENS, Hysteresis, Ladder
from gmemsim.gmem.stage2 import LeafRule, MappingKind
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.geometry import Geometry
from gmemsim.host.host import Host
from tests.gmem.worlds import G, K, M, attributes, make_host, outcome, settle, state

POOLS = {4 * K: {2 * M: 6, G: 3}, 16 * K: {32 * M: 4}, 64 * K: {2 * M: 6, 512 * M: 2}}
"""The pools of the machines, by base page size."""

MOST_GUESTS = 4

ACTIONS = {
    "convert": 5,
    "take_back": 7,
    "scatter": 1,
    "allocate": 2,
    "fault": 3,
    "use_shared": 4,
    "unpin": 3,
    "punch_hole": 2,
    "poison": 1,
    "close": 1,
    "create": 2,
    "inject": 1,
    "wait": 1,
}
"""What happens in one step, and how often.  One rule for all, since Hypothesis switches rules off run by run."""

actions = st.sampled_from([action for action, weight in ACTIONS.items() for _ in range(weight)])
accounts = st.sampled_from([*ACCOUNTS, "any", "any", "any"])
numbers = st.sampled_from([1, 2, 3, 4, 9, 66, 700, 4200, 9000])


@attrs.define(eq=False)
class Pinned:
    """A reference that has been taken: offset and size in bytes."""

    guest: GuestMemfd
    offset: int
    size: int


@st.composite
def policies(draw: st.DrawFn, order: int, geometry: Geometry) -> Policy:
    """Any policy for hugepages of ``order``."""
    splits: list[Any] = ["uniform", "staged", "nonuniform"]
    if order > 1:
        below = draw(st.lists(st.integers(1, order - 1), unique=True, max_size=3))
        ladder = (order, *sorted(below, reverse=True), 0)
        splits.append(ladder)
        late = draw(st.integers(0, len(ladder) - 1))
        splits.append(Ladder(ladder, ("conversion",) * (len(ladder) - 1 - late) + ("fault",) * late))
    merges: list[Any] = ["eager", "eager", "cleanup", "never", Hysteresis(1), Hysteresis(2)]
    ordering = draw(st.sampled_from(ORDERINGS.names()))
    rule, split = ORDERINGS[ordering], draw(st.sampled_from(splits))
    if isinstance(split, Ladder):
        fits = not rule.needs_conversion_splits or split.whens.count("fault") < (1 if rule.all_or_nothing else order)
        split = split if fits and split.whens[0] == "conversion" else split.orders
    lazy = not rule.needs_conversion_splits and not isinstance(split, Ladder)
    return Policy(
        split=split,
        when=draw(st.sampled_from(WHENS.names())) if lazy else None,
        on_split_failure=draw(st.sampled_from(SPLIT_FAILURES.names())) if ordering == "split-first" else "undo",
        merge=draw(st.sampled_from(merges)),
        vmemmap=draw(st.sampled_from(VMEMMAPS.names())),
        ordering=ordering,
    )


@st.composite
def ranges(draw: st.DrawFn, guest: GuestMemfd) -> tuple[int, int]:
    """Offset and size in bytes, often at the bounds of hugepages and of page tables."""
    hugepage = 1 << guest.page_order
    table = 1 << guest.host.geometry.pmd_order
    base = draw(st.integers(0, guest.pages // hugepage - 1)) * hugepage
    start = min(
        base + draw(st.sampled_from([0, 0, 1, 5, table, table - 1, hugepage // 2, hugepage - 1])), guest.pages - 1
    )
    length = draw(st.sampled_from([1, 1, 2, 3, 64, table, table + 1, hugepage, hugepage, 2 * hugepage, guest.pages]))
    length = min(length, guest.pages - start)
    page = guest.host.geometry.page_size
    return start * page, length * page


def mapped_pages(found: dict[str, Any]) -> int:
    """Base pages that the second stage maps, of a state."""
    return sum(end - start for start, end, _ in found["stage2"])


class Guests(RuleBasedStateMachine):
    """Many guests on one host; every law after every call, and after the last close nothing is left."""

    host: Host

    @initialize(
        page_size=st.sampled_from([4 * K, 4 * K, 4 * K, 16 * K, 64 * K]),
        budget=st.sampled_from([None, None, 8 * M, 24 * M]),
        memdesc=st.sampled_from(["struct-page", "struct-page", "struct-page-32", "folio-descriptors"]),
        xarray=st.sampled_from(["rfc", "rfc", "v6.15"]),
        shared_tail_pages=st.booleans(),
        account_nodes=st.booleans(),
        pamt=st.sampled_from(["dynamic", "dynamic", "none"]),
        nodes=st.sampled_from([(), (), (None, 2 * M), (24 * M, 0), (1 * M, 8 * M, 2 * M)]),
        vmemmap_fallback=st.booleans(),
        data=st.data(),
    )
    def boot(self, page_size: int, budget: int | None, data: st.DataObject, **switches: Any) -> None:
        if page_size > 4 * K:
            switches["pamt"] = "none"  # which only x86 has
        self.host = make_host(POOLS[page_size], page_size=page_size, kernel_memory=budget, **switches)
        self.nodes = len(switches["nodes"])
        self.guests: list[GuestMemfd] = []
        self.pinned: list[Pinned] = []
        self.made = 0
        self.armed = False
        for _ in range(2):
            self.create(data)

    @rule(data=st.data(), action=actions)
    def act(self, data: st.DataObject, action: str) -> None:
        if not self.open or (action == "create" and len(self.open) >= MOST_GUESTS):
            action = "create" if not self.open else "convert"
        if action in ("take_back", "use_shared") and not self.sharing:
            action = "convert"
        if action == "unpin" and not self.pinned:
            action = "fault"
        getattr(self, action)(data)

    # -- guests ----------------------------------------------------------------------------------------------------

    def create(self, data: st.DataObject) -> None:
        page = self.host.geometry.page_size
        backing = data.draw(st.sampled_from([page, *self.host.pool.sizes(), *self.host.pool.sizes()]))
        number = data.draw(st.integers(1, 200 if backing == page else 2))
        order = self.host.geometry.order_of(backing)
        reserved = {size: self.host.pool.reserved(size) for size in self.host.pool.sizes()}
        try:
            guest = GuestMemfd(
                self.host,
                f"vm{self.made}",
                size=backing * number,
                backing=backing,
                policy=data.draw(policies(order, self.host.geometry)),
                mapping=data.draw(st.sampled_from(get_args(MappingKind) if page == 4 * K else ("plain",))),
                stage2=data.draw(st.sampled_from(get_args(LeafRule))),
                kernel_memory=data.draw(st.sampled_from([None, None, None, 1 * M, 4 * M])),
                initially_shared=backing == page and data.draw(st.booleans()),
                node=data.draw(st.integers(0, max(0, self.nodes - 1))),
            )
        except OutOfMemory:
            assert reserved == {size: self.host.pool.reserved(size) for size in self.host.pool.sizes()}
        else:
            self.guests.append(guest)
            if data.draw(st.integers(0, 3)):
                with suppress(OutOfMemory):
                    guest.allocate(0, guest.offset(guest.pages))
        self.made += 1

    @property
    def open(self) -> list[GuestMemfd]:
        """The guests that are not closed."""
        return [guest for guest in self.guests if not guest.closed]

    @property
    def sharing(self) -> list[tuple[GuestMemfd, tuple[int, int]]]:
        """Every shared range of every open guest."""
        return [(guest, bounds) for guest in self.open for bounds in attributes(guest)]

    # -- calls -----------------------------------------------------------------------------------------------------

    def convert(self, data: st.DataObject) -> None:
        guest = data.draw(st.sampled_from(self.open))
        private = data.draw(st.integers(0, 3)) == 0
        if data.draw(st.booleans()):
            self.inject(data)
        self._convert(guest, *data.draw(ranges(guest)), private)

    def scatter(self, data: st.DataObject) -> None:
        """Many small shared ranges, for the maple tree's sake."""
        guest = data.draw(st.sampled_from(self.open))
        step, pages = data.draw(st.sampled_from([2, 5])), data.draw(st.integers(2, 20))
        for page in range(0, min(pages * step, guest.pages), step):
            self._convert(guest, guest.offset(page), guest.offset(1), False)

    def take_back(self, data: st.DataObject) -> None:
        guest, (start, end) = data.draw(st.sampled_from(self.sharing))
        if data.draw(st.integers(0, 2)) == 0:
            self.inject(data)
        beyond = data.draw(st.sampled_from([0, 0, 1, 700]))  # may end amid private pages, inside a large leaf
        self._convert(guest, guest.offset(start), guest.offset(min(end + beyond, guest.pages) - start), True)

    def _convert(self, guest: GuestMemfd, offset: int, size: int, private: bool) -> None:
        before, ordering = state(guest), guest.policy.ordering
        in_vain, there = guest.stats.zapped_in_vain, mapped_pages(before)
        rollbacks, shared = guest.stats.rollback_failures, attributes(guest)
        page = guest.host.geometry.page_size
        first, last = offset // page, (offset + size) // page
        error = outcome(lambda: guest.set_attributes(offset, size, private))
        if error is None:
            assert guest.inode.attributes.all_are(first, last, shared=not private)
            assert guest.stats.zapped_in_vain == in_vain
            return
        assert error.name in ("ENOMEM", "EAGAIN", "EHWPOISON")
        assert error.error_offset is not None
        assert offset <= error.error_offset < offset + size
        if ordering in ("reserve-first", "split-first", "block-abort"):
            assert guest.stats.zapped_in_vain == in_vain
        if ordering == "reserve-first":
            assert state(guest) == before
        if ordering == "split-first":
            assert attributes(guest) == shared
            assert mapped_pages(state(guest)) == there
            if guest.policy.on_split_failure == "undo":
                assert state(guest)["filemap"] == before["filemap"]
        if ordering == "attributes-first" and guest.stats.rollback_failures == rollbacks:
            assert attributes(guest) == shared
        if ordering in ("restructure-first", "block-abort") and guest.page_order:
            stopped = error.error_offset // page >> guest.page_order << guest.page_order
            assert guest.inode.attributes.all_are(first, max(first, stopped), shared=not private)

    def allocate(self, data: st.DataObject) -> None:
        guest = data.draw(st.sampled_from(self.open))
        with suppress(OutOfMemory):
            guest.allocate(*data.draw(ranges(guest)))

    def fault(self, data: st.DataObject) -> None:
        guest = data.draw(st.sampled_from(self.open))
        with suppress(KernelError):
            guest.fault(*data.draw(ranges(guest)), by=data.draw(st.sampled_from(["guest", "guest", "guest", "host"])))

    def use_shared(self, data: st.DataObject) -> None:
        pages, pin = data.draw(st.sampled_from([1, 2, 600])), data.draw(st.booleans())
        guest, (start, end) = data.draw(st.sampled_from(self.sharing))
        first = data.draw(st.sampled_from([start, end - 1, (start + end) // 2]))
        use = Pinned(guest, guest.offset(first), guest.offset(min(end - first, pages)))
        with suppress(KernelError):
            if pin:
                guest.pin(use.offset, use.size)
                self.pinned.append(use)
            else:
                guest.fault(use.offset, use.size, by="host")

    def unpin(self, data: st.DataObject) -> None:
        pinned = self.pinned.pop(data.draw(st.integers(0, len(self.pinned) - 1)))
        pinned.guest.unpin(pinned.offset, pinned.size)

    def punch_hole(self, data: st.DataObject) -> None:
        guest = data.draw(st.sampled_from(self.open))
        offset, size = data.draw(ranges(guest))
        if data.draw(st.integers(0, 3)):
            size = guest.offset(1 << guest.page_order)
            offset = offset // size * size
        shared = attributes(guest)
        with suppress(KernelError):
            guest.punch_hole(offset, size)
        assert attributes(guest) == shared

    def poison(self, data: st.DataObject) -> None:
        if data.draw(st.booleans()):
            guest = data.draw(st.sampled_from(self.open))
            guest.poison(data.draw(ranges(guest))[0])

    def close(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.open)).close()

    # -- the world around ------------------------------------------------------------------------------------------

    def inject(self, data: st.DataObject) -> None:
        self.armed = True
        self.host.ledger.inject(data.draw(accounts), data.draw(numbers))

    def wait(self, data: st.DataObject) -> None:
        self.host.ledger.advance(self.host.ledger.now + data.draw(st.sampled_from([1, 500, 1000, 5000])))

    # -- laws ------------------------------------------------------------------------------------------------------

    @invariant()
    def laws(self) -> None:
        if not hasattr(self, "guests"):
            return
        for guest in self.guests:
            guest.check()
        self.host.check()
        held = sum(guest.folios.total() for guest in self.guests)
        assert self.host.folios.total() == held, f"{self.host.folios.total()} folios counted, the guests have {held}"

    def teardown(self) -> None:
        if not hasattr(self, "guests"):
            return
        for guest in self.guests:
            if not guest.closed:
                guest.close()
        for pinned in self.pinned:
            pinned.guest.unpin(pinned.offset, pinned.size)
        settle(self.host)
        self.laws()
        for size in self.host.pool.sizes():
            good = self.host.pool.total(size) - self.host.pool.lost(size)
            assert self.host.pool.available(size) == good, "a hugepage is missing"
        left = {account: tally.live for account, tally in self.host.ledger.tallies.items() if tally.live}
        left.pop("vmemmap_page_tables", None)  # never given back
        unoptimised = sum(self.host.unoptimised.values())
        assert left.pop("vmemmap", 0) == unoptimised  # what optimising failed to give back, silently
        if self.armed or self.host.ledger.budget is not None:
            left.pop("registry_nodes", None)  # a failed store may leave empty nodes, in the kernel as well
        assert not left, f"left after the last close: {left}"
