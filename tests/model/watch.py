# SPDX-License-Identifier: GPL-2.0-or-later
"""Shows the model of pages every call of a run: the only place that knows both gmemsim and the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gmemsim.gmem.guest import GuestMemfd
from gmemsim.results.timeline import Event
from gmemsim.scenario.model import GuestSpec, Scenario
from tests.model.pages import ABSENT, Call, Pages, Rules, Seen

TABLE_ENTRY_BYTES = 8
"""Bytes of an entry of a page table; a table is a page."""


def rules_of(policy: Mapping[str, Any], order: int, page_size: int) -> Rules:
    """What the policy, as a scenario file writes it, means for hugepages of ``order``."""
    split, merge = policy["split"], policy["merge"]
    whens = None
    if isinstance(split, Mapping):
        rungs, whens = tuple(split["ladder"]), split.get("when")
    elif split == "staged":
        table = (page_size // TABLE_ENTRY_BYTES).bit_length() - 1
        rungs = (order, *((table,) if order > table else ()), 0)
    else:
        rungs = (order, 0) if split == "uniform" else tuple(range(order, -1, -1))
    if order == 0:
        rungs = (0,)
    steps = len(rungs) - 1
    late = policy.get("when") == "fault"
    at_conversion = whens.count("conversion") if whens else 0 if late else steps
    ordering = policy["ordering"]
    return Rules(
        rungs=rungs,
        at_conversion=min(at_conversion, steps),
        early=merge == "eager" or isinstance(merge, Mapping),
        limit=merge["hysteresis"] if isinstance(merge, Mapping) else None,
        stops_between_hugepages=ordering in ("restructure-first", "block-abort") and order > 0,
        all_or_nothing=ordering == "reserve-first",
        partial_holes=ordering == "attributes-first",
    )


class Watch:
    """A watcher for ``gmemsim.studies.fuzz``: one model a guest."""

    def __init__(self, scenario: Scenario) -> None:
        self._page = scenario.host.page_size
        self._models: dict[str, Pages] = {}
        for spec in scenario.guests:
            for name in spec.instances:
                self._models[name] = self._model(spec)

    def _model(self, spec: GuestSpec) -> Pages:
        order = (spec.backing // self._page).bit_length() - 1
        rules = rules_of(spec.policy.as_file(), order, self._page)
        return Pages(spec.memory // self._page, rules, spec.initially_shared)

    def __call__(self, event: Event, guests: Mapping[str, GuestMemfd]) -> bool:
        """Compare the guest that was called; whether the model knew all."""
        if event.guest is None:
            return False
        guest, model = guests[event.guest], self._models[event.guest]
        start = (event.offset or 0) // self._page
        end = start + (event.size or self._page) // self._page
        call = Call(
            event.kind,
            start,
            end,
            event.errno,
            None if event.error_offset is None else event.error_offset // self._page,
            shared=event.detail.startswith("to shared"),
            host=event.detail.startswith("by host"),
        )
        return model.after(call, None if guest.closed else seen(guest))


def seen(guest: GuestMemfd) -> Seen:
    """What the guest shows from outside, page by page."""
    private = np.ones(guest.pages, bool)
    for start, end in guest.shared_ranges(0, guest.pages):
        private[start:end] = False
    order = np.full(guest.pages, ABSENT, np.int8)
    for first, number, each in guest.folio_runs(0, guest.pages):
        order[first : first + (number << each)] = each
    return Seen(private, order, guest.nodes())
