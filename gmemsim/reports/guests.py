# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of many guests are shown, and in what words the others are left out; and what no guest holds.

Of more guests than there is room for, those are shown in which calls failed, then those with the highest peaks.  One
that stands out in nothing, because a guest that is left out held as much, is left out too: its row, bar or panel would
say that it is special.  All are shown in the scenario's order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from gmemsim.reports.words import account_label
from gmemsim.results.timeline import TOTAL
from gmemsim.units import human_size

HOST_ITSELF = "host itself"
"""In the place of a guest's name: what the host holds for none of them."""


def foremost(peaks: Mapping[str, int], most: int, failed: Mapping[str, int] | None = None) -> list[str]:
    """The guests to show, at most ``most`` of those in ``peaks`` (bytes), which are in the scenario's order.

    ``failed``: how many calls of each guest failed (default: no call of any did, or it does not matter).
    """
    failures = failed or {}
    ranked = sorted(peaks, key=lambda name: (-failures.get(name, 0), -peaks[name]))
    if len(ranked) <= most:
        return list(peaks)
    beyond = _standing(ranked[most], peaks, failures)
    special = [name for name in ranked[:most] if _standing(name, peaks, failures) > beyond]
    chosen = set(special or ranked[:most])
    return [name for name in peaks if name in chosen]


def _standing(name: str, peaks: Mapping[str, int], failed: Mapping[str, int]) -> tuple[int, int]:
    return failed.get(name, 0), peaks[name]


def peaks_of(guests: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The peak of each of a summary's ``guests`` in bytes."""
    return {str(guest["name"]): guest["accounts"][TOTAL]["peak_bytes"] for guest in guests}


def failures_of(guests: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many conversions of each of a summary's ``guests`` failed."""
    return {str(guest["name"]): counts_of(guest)[1] for guest in guests}


def counts_of(guest: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Of one of a summary's guests: conversions that succeeded and failed, splits and merges."""
    calls, splits, merges = guest["conversions"], guest["splits"], guest["merges"]
    return calls["succeeded"], sum(calls["failed"].values()), sum(splits.values()), sum(merges.values())


def others(peaks: Mapping[str, int], failed: Mapping[str, int], shown: Collection[str]) -> str:
    """Words: how many guests are not ``shown`` by :func:`foremost`, and the most that any of them held and failed."""
    rest = [name for name in peaks if name not in shown]
    if not rest:
        return ""
    most, worst = max(peaks[name] for name in rest), max(failed[name] for name in rest)
    limits = f"{human_size(most)} and {worst:,} failed each" if worst else f"{human_size(most)} each, none failed"
    return f"… and {len(rest):,} more guest{'s' if len(rest) > 1 else ''} (at most {limits})"


def left_out(peaks: Mapping[str, int], shown: Collection[str], watched: int, noun: str = "") -> str:
    """Words: which guests are ``shown``, by their ``peaks``, of those ``watched``, and what any other held at most.

    ``noun`` (default: none) follows the number of all.  Nothing if all are shown.
    """
    others = [peak for name, peak in peaks.items() if name not in shown]
    if not others:
        return ""
    of = f" of the {watched:,} watched" if watched < len(peaks) else ""
    number = f"{len(shown):,} of {len(peaks):,}{noun}"
    if not of and min(peaks[name] for name in shown) <= max(others):
        return f"{number}. None held more than {human_size(max(peaks.values()))}."
    was = "whose peak was highest" if len(shown) == 1 else "whose peaks were highest"
    return f"the {number} {was}{of}. No other held more than {human_size(max(others))}."


def host_itself(summary: Mapping[str, Any]) -> str:
    """What the host held that is in no guest's number, at the highest, by account; nothing if it held nothing."""
    peaks = {name: tally["peak_bytes"] for name, tally in summary.get("host_accounts", {}).items()}
    total = peaks.pop(TOTAL, 0)
    parts = [
        f"{account_label(name)} {human_size(peaks[name])}" for name in sorted(peaks, key=lambda name: -peaks[name])
    ]
    return f"{HOST_ITSELF}: {human_size(total)} at its peak ({', '.join(parts)})" if total else ""
