# SPDX-License-Identifier: GPL-2.0-or-later
"""Words that several reports use: what an event was, and which figures are estimates."""

from __future__ import annotations

from gmemsim.results.timeline import Event
from gmemsim.units import size_name

ESTIMATED_ACCOUNTS = frozenset({"attributes"})
"""Accounts whose objects are estimated, not counted: the maple tree's nodes (DOMAIN.md section 3)."""

ESTIMATE = "≈"
"""The sign put before every figure that is an estimate."""


def describe(event: Event) -> str:
    """What ``event`` was, in one line: ``"vm0: convert 4K at 1G to shared, EAGAIN"``."""
    words = [event.kind]
    if event.size is not None:
        words.append(size_name(event.size))
    if event.offset is not None:
        words.append(f"at {size_name(event.offset)}")
    if event.detail:
        words.append(event.detail)
    who = f"{event.guest}: " if event.guest else ""
    failure = f", {event.errno}" if event.errno else ""
    return f"{who}{' '.join(words)}{failure}"


def account_label(name: str) -> str:
    """The account's name, marked if its figures are estimates."""
    return f"{ESTIMATE} {name}" if name in ESTIMATED_ACCOUNTS else name
