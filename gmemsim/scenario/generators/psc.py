# SPDX-License-Identifier: GPL-2.0-or-later
"""``psc``: an SNP guest changes the state of a range by page-state-change requests, a batch of entries a call.

Theory of operation
-------------------
An SNP guest lists up to 253 entries in its GHCB (the GHCB specification); Linux fills 64 a call (DOMAIN.md section 6).
An entry is a page of 4K or, where the address is aligned and enough is left, of 2M.  KVM hands entries of one call
that are neighbours and of one size to user space together, as one range (``snp_begin_psc``, arch/x86/kvm/svm/sev.c);
``coalesce: false`` makes each entry a conversion of its own, as a host without that does.

The calls are equally spaced over ``duration``.  Synthetic, as all generators are; one that reads recorded input is
``replay``.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Annotated, ClassVar, Final, get_args

import attrs

from gmemsim.scenario.format.kinds import Choice, Count, Duration, Flag, Size
from gmemsim.scenario.model import Extent, GuestSpec, State, Step, bytes_of
from gmemsim.scenario.workload import Sharing, misfit, too_many

SPEC_ENTRIES: Final = 253
"""Entries that fit into a request (GHCB specification; DOMAIN.md section 6)."""

LINUX_ENTRIES: Final = 64
"""Entries that Linux puts into one (DOMAIN.md section 6)."""

LARGE: Final = 2 << 20
"""The larger of the two sizes of an entry (DOMAIN.md section 6)."""


@attrs.frozen(kw_only=True)
class Psc(Sharing):
    """Make ``size`` bytes at ``offset`` shared or private in batches of page-state changes."""

    key: ClassVar[str] = "psc"
    draws: ClassVar[bool] = False

    offset: Annotated[int, Size("first byte of the range", aligned=True, zero=True)] = 0
    size: Annotated[Extent, Size("bytes of the range, or all: to the guest's end", aligned=True, whole=True)]
    to: Annotated[State, Choice("what it becomes", get_args(State))]
    entries: Annotated[int, Count("entries of a call; Linux fills 64", least=1, most=SPEC_ENTRIES)] = LINUX_ENTRIES
    large: Annotated[bool, Flag("entries of 2M where they fit")] = True
    coalesce: Annotated[bool, Flag("neighbouring entries of a call and a size are one conversion, as in KVM")] = True
    duration: Annotated[int, Duration("time from the first call to the end of the last")] = 0

    def span(self) -> int:
        """The duration."""
        return self.duration

    def problems(self, guest: GuestSpec, page_size: int) -> Iterator[tuple[str, str]]:
        """A range past the guest's end, or one of too many entries."""
        yield from misfit(self.offset, self.size, guest)
        yield from too_many("size", self._entries(guest, page_size), "entries of page-state changes")

    def _runs(self, guest: GuestSpec, page_size: int) -> Iterator[tuple[int, int, int]]:
        """Neighbouring entries of one size: (offset, bytes of an entry, number), at most three."""
        size = bytes_of(self.size, self.offset, guest.memory)
        end = self.offset + size
        low, high = -(-self.offset // LARGE) * LARGE, end // LARGE * LARGE
        if not self.large or low >= high or page_size >= LARGE:
            yield self.offset, page_size, size // page_size
            return
        yield self.offset, page_size, (low - self.offset) // page_size
        yield low, LARGE, (high - low) // LARGE
        yield high, page_size, (end - high) // page_size

    def _entries(self, guest: GuestSpec, page_size: int) -> int:
        return sum(number for _, _, number in self._runs(guest, page_size))

    def steps(self, name: str, guest: GuestSpec, page_size: int, rng: Random, start: int) -> Iterator[Step]:
        """The conversions that the calls come to."""
        calls = -(-self._entries(guest, page_size) // self.entries)
        done = 0
        for offset, entry, number in self._runs(guest, page_size):
            left = number
            while left:
                call = done // self.entries
                taken = min(left, (call + 1) * self.entries - done) if self.coalesce else 1
                yield self.convert(name, start + self.duration * call // calls, offset, taken * entry, self.to)
                offset += taken * entry
                done += taken
                left -= taken
