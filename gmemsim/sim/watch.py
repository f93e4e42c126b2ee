# SPDX-License-Identifier: GPL-2.0-or-later
"""A host that is driven by hand, watched: its timeline and its summary, as a run has them.

Theory of operation
-------------------
A run records what its workload does.  Whoever makes a host and calls its guests from Python has no workload; a
:class:`Watch` makes the calls instead and records each as a run does: the instant of the highest total, the end, an
event.  Simulated time stands still unless :meth:`Watch.wait` moves it.

What may live here: recording calls.  What a call does is :mod:`gmemsim.gmem.guest`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from gmemsim.errors import KernelError
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.costs import PROFILES
from gmemsim.results.summary import State, folio_orders, summarise
from gmemsim.results.timeline import NONE, Timeline
from gmemsim.units import duration_of

KINDS = {"set_attributes": "convert"}
"""What scenarios call a method of a guest, where that has another name."""


class Watch:
    """Records the calls of ``guests``, all of one host; what they did before is where the timeline begins.

    ``title`` is what figures and tables show (default: "by hand").  ``timeline`` and ``summary`` are a run's, so that
    everything that shows a run's result shows this.  ``ValueError`` without guests, or for those of several hosts.

    >>> from gmemsim import GuestMemfd, Host
    >>> host = Host(hugetlb={"1G": 1})
    >>> guest = GuestMemfd(host, "vm0", size="1G", backing="1G", policy="staged")
    >>> watch = Watch(guest)
    >>> watch.call(guest.allocate, 0, 1 << 30)
    >>> watch.wait("1s")
    >>> watch.call(guest.set_attributes, 0, 4096, private=False)
    >>> watch.summary["accounts"]["filemap_nodes"]["live"], len(watch.timeline.events)
    (74, 2)
    """

    def __init__(self, *guests: GuestMemfd, title: str = "by hand") -> None:
        hosts = {id(guest.host): guest.host for guest in guests}
        if len(hosts) != 1:
            raise ValueError(f"found guests of {len(hosts)} hosts, expected at least one guest, all of one host")
        (self.host,) = hosts.values()
        self.guests = guests
        self.title = title
        self._orders = folio_orders(self.host.geometry, guests)
        self._calls: dict[str, Counter[tuple[str, str | None]]] = {guest.name: Counter() for guest in guests}
        self.timeline = Timeline(ACCOUNTS.names(), [self.host.geometry.name(order) for order in self._orders])
        self._sample()

    @property
    def now(self) -> int:
        """Simulated time, ns."""
        return self.host.ledger.now

    def wait(self, duration: int | str) -> None:
        """Let ``duration`` pass, ns or text (``"10ms"``), with the deferred frees that fall due."""
        end = self.now + duration_of(duration)
        while self.host.ledger.advance_to_release(end):
            self._sample()
        self._sample()

    def call(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call ``method`` of a guest with ``arguments`` and ``named`` ones, record it, and return what it returns.

        A :class:`KernelError` is recorded and raised again.  ``ValueError`` if it is no method of a watched guest.
        """
        guest = getattr(method, "__self__", None)
        if guest not in self.guests:
            raise ValueError(f"found {method!r}, expected a method of a guest that is watched")
        errno, error_offset = None, NONE
        words = ", ".join(f"{name}={value}" for name, value in named.items())
        if "private" in named:
            words = "to private" if named["private"] else "to shared"
        try:
            return method(*arguments, **named)
        except KernelError as error:
            errno, error_offset = error.name, NONE if error.error_offset is None else error.error_offset
            raise
        finally:
            kind = KINDS.get(method.__name__, method.__name__)
            self._calls[guest.name][kind, errno] += 1
            self._sample()
            offset, size, *_ = [value for value in arguments if isinstance(value, int)] + [NONE, NONE]
            label = (None, kind, guest.name, words, errno, True)
            step, work = len(self.timeline.events), self.host.work.counts()
            self.timeline.events.record(self.now, step, label, offset, size, error_offset, work)

    @property
    def summary(self) -> dict[str, Any]:
        """What has been done so far, in the layout of ``gmemsim run --json``."""
        self.timeline.end(self.now)
        return summarise(
            State(
                title=self.title,
                seed=0,
                now=self.now,
                host=self.host,
                guests=self.guests,
                orders=self._orders,
                calls=self._calls,
                work=self.host.work,
                profile=PROFILES["default"],
            )
        )

    def __repr__(self) -> str:
        return f"<Watch of {', '.join(guest.name for guest in self.guests)}: {len(self.timeline.events)} calls>"

    def _sample(self) -> None:
        live, highest = self.host.ledger.take_rows()
        folios = self.host.folios_of
        self.timeline.sample(self.now, live, [folios[order] for order in self._orders], highest)
