# SPDX-License-Identifier: GPL-2.0-or-later
"""Injected faults: which objects cannot be had.  The ledger counts them down (:mod:`gmemsim.host.ledger`)."""

from __future__ import annotations

from typing import Literal

ANY = "any"
"""The account of an injection that counts the objects of all accounts."""

InjectionMode = Literal["once", "forever"]


class Injection:
    """An armed fault: ``left`` more objects of ``account``, the failing one included, until it strikes.

    ``nth`` is what ``left`` was in the beginning.  ``mode`` is ``"once"`` or ``"forever"``; ``left`` is 1 for as long
    as a ``forever`` injection keeps striking.
    """

    __slots__ = ("account", "left", "mode", "nth")

    def __init__(self, account: str, nth: int, mode: InjectionMode) -> None:
        self.account = account
        self.nth = nth
        self.mode: InjectionMode = mode
        self.left = nth

    def __str__(self) -> str:
        later = " and all later ones" if self.mode == "forever" else ""
        of = "any account" if self.account == ANY else self.account
        return f"injected fault at object {self.nth} of {of}{later}"
