# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim costs``: every price of every profile, with its band and its source.

A source is long and many prices have the same one, so sources stand below the table, by number.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gmemsim.host.costs import GIVEN, CostProfile, Price
from gmemsim.host.work import PHASES
from gmemsim.reports.screen.fitted import plain_table
from gmemsim.units import human_duration, rounded

DIGITS = 3
"""Significant digits of a price."""


def render(profiles: Sequence[CostProfile]) -> RenderableType:
    """The profiles, one below the other."""
    parts: list[RenderableType] = []
    for profile in profiles:
        parts += [*([""] if parts else []), *_profile(profile)]
    notes = "× ÷: the true figure is within this factor; stretched: extrapolated beyond what was measured"
    return Group(*parts, Text(f"\n{notes}", style="dim"))


def _profile(profile: CostProfile) -> list[RenderableType]:
    heading = Text(profile.name, style="bold")
    heading.append(f"\n{profile.description}\n", style="not bold")
    if profile.leaves_out:
        heading.append(f"left out: {profile.leaves_out}\n", style="not bold")
    sources = list(dict.fromkeys(profile.figures[counter].source for counter in PHASES))
    listed = Table.grid(padding=(0, 2, 0, 0))
    listed.add_column(justify="right", no_wrap=True)
    for i, source in enumerate(sources, 1):
        listed.add_row(str(i), Text(source))
    return [heading, _table(profile, sources), Text(), listed]


def _table(profile: CostProfile, sources: Sequence[str]) -> Table:
    table = plain_table("counter of work", "phase", "price of one", "× ÷", "", "source", spare=("", "phase", "× ÷"))
    for counter, phase in PHASES.items():
        price = profile.figures[counter]
        table.add_row(counter, phase, *_cells(price), str(sources.index(price.source) + 1))
    return table


def _cells(price: Price) -> tuple[str, str, str]:
    """The price, its band, and whether it is extrapolated."""
    if price.ns is None:
        return "not priced", "", ""
    if not price.ns:
        return "0 ns" if price.source == GIVEN else "contained", "", ""
    return price_of_one(price.ns), f"{price.within:.2g}", "stretched" if price.extrapolated else ""


def price_of_one(ns: float) -> str:
    """``"43.4 µs"``; below 10 ns with the digits that a duration does not show."""
    return f"{rounded(ns, DIGITS):g} ns" if ns < 10 else human_duration(rounded(ns, DIGITS))
