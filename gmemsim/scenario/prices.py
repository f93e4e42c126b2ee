# SPDX-License-Identifier: GPL-2.0-or-later
"""Prices that a user gives beside a scenario: ``rmp_updates=2us``, which stand above those of the file.

A price is named by its counter of work.  As people write them, a counter may also be in the singular and without
underscores (``rmpupdate``), or be named by its phase where that has no other counter (``demote``).

What may live here: how such a price is read.  What prices do is :mod:`gmemsim.host.costs`'s.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from gmemsim.host.work import COUNTERS, PHASES
from gmemsim.messages import did_you_mean, quote
from gmemsim.scenario.format.kinds import UnitPrice
from gmemsim.scenario.model import Scenario


def read_price(text: str) -> tuple[str, float]:
    """The counter and the price in ns that ``text`` means; ``ValueError`` "found …, expected …".

    >>> read_price("rmpupdate=2us"), read_price("bytes_cleared=0.03ns")
    (('rmp_updates', 2000.0), ('bytes_cleared', 0.03))
    """
    name, assigned, price = text.partition("=")
    if not assigned:
        raise ValueError(f"found {quote(text)}, expected COUNTER=TIME, such as rmp_updates=2us")
    counter = _names().get(_plain(name))
    if counter is None:
        hint = did_you_mean(name, COUNTERS) or " (`gmemsim costs default` lists them)"
        raise ValueError(f"found {quote(name)}, expected a counter of work{hint}")
    return counter, UnitPrice("what one costs").read(price, plain=True)


def with_prices(scenario: Scenario, prices: Mapping[str, float]) -> Scenario:
    """``scenario`` with ``prices`` in ns by counter above its own."""
    if not prices:
        return scenario
    host = attrs.evolve(scenario.host, prices={**scenario.host.prices, **prices})
    return attrs.evolve(scenario, host=host)


def _names() -> dict[str, str]:
    """What a counter may be called, without underscores -> the counter."""
    found = {}
    phases = list(PHASES.values())
    for counter, phase in PHASES.items():
        if phases.count(phase) == 1:
            found[_plain(phase)] = counter
    for counter in COUNTERS:
        name = _plain(counter)
        found |= {name: counter, name.removesuffix("s"): counter, name.removesuffix("es"): counter}
    return found


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
