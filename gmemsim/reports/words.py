# SPDX-License-Identifier: GPL-2.0-or-later
"""Words that several reports use: counts, events, accounts, and expectations, as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gmemsim.host.accounts import ACCOUNTS
from gmemsim.units import human_duration, rounded, size_name

if TYPE_CHECKING:
    from gmemsim.results.timeline import Event, Label
    from gmemsim.xarray.lab.show import Picture

ESTIMATE = "≈"
"""The sign put before every figure that is an estimate."""

TIME_DIGITS = 2
"""Significant digits of a modelled time: prices are off by a fifth or more."""

SHOWN_DIGITS = 14
"""Digits of a sha256 that are shown: enough to tell the scenarios of a project apart."""

NO_ACCOUNT = "#999999"
"""The colour of what is no account of the table, such as one in an old summary."""

IN_PYTHON = "made in Python"
"""In place of the digits where there is no text."""

MAIL_COLUMNS = 77
"""The most columns of a line: what a mailing list takes without wrapping."""

SIGNS = {"eq": "=", "ne": "≠", "le": "≤", "ge": "≥", "approx": ESTIMATE}
"""How an expectation's operator is written."""


def number(n: int) -> str:
    """``n`` in full, with separators: ``"1,234,567,890"``."""
    return f"{n:,}"


def modelled_time(ns: float) -> str:
    """A modelled time with the two digits that it deserves: ``"27 ms"``."""
    return human_duration(rounded(ns, TIME_DIGITS))


def times_note(summary: Mapping[str, Any]) -> str:
    """What must be known to read the modelled times of ``summary``: own prices, and what is not in them; or nothing."""
    told = summary.get("estimates", {}).get("modelled_time_ns", {})
    words = []
    if given := told.get("prices"):
        words.append(f"own prices of {', '.join(given)}")
    if missing := not_priced(told.get("not_priced", {})):
        words.append(f"not priced: {missing}")
    if left_out := told.get("leaves_out"):
        words.append(f"left out: {left_out}")
    return "; ".join(words)


def provenance(summaries: Iterable[Mapping[str, Any]]) -> str:
    """What made the results with these ``summaries``, in one line below 80 columns where they have it in common.

    ``"gmemsim 0.2.0, scenario 1f0c2ab93d5e, seed 0, kernel B, costs default"``: the version, the first digits of the
    sha256 of each scenario's text, seeds, generations of the modelled kernel, cost profiles; nothing if unknown.
    """
    told = [(summary, summary["provenance"]) for summary in summaries if "provenance" in summary]
    if not told:
        return ""
    kinds: dict[str, Iterable[object]] = {
        "gmemsim": (made["gmemsim"] for _, made in told),
        "scenario": ((made["scenario"] or IN_PYTHON)[:SHOWN_DIGITS] for _, made in told if "scenario" in made),
        "seed": (summary["seed"] for summary, _ in told if "seed" in summary),
        "kernel": (generation for _, made in told for generation in made["generation"]),
        "costs": (made["costs"] for _, made in told if "costs" in made),
    }
    words = {kind: " ".join(dict.fromkeys(map(str, found))) for kind, found in kinds.items()}
    return ", ".join(f"{kind} {found}" for kind, found in words.items() if found)


def made_by(study: Any) -> str:
    """What made a ``study``, which says so itself (``made``), as :func:`provenance` words it."""
    return provenance([study.made])


def not_priced(counts: Mapping[str, int]) -> str:
    """``"512 rmp_updates, 1 psmashes"``: work that no time contains."""
    return ", ".join(f"{number(n)} {name}" for name, n in counts.items() if n)


def describe(event: Event) -> str:
    """What ``event`` was, in one line: ``"vm0: convert 4K at 1G to shared, EAGAIN"``."""
    words = [event.kind]
    if event.size is not None:
        words.append(size_name(event.size))
    if event.offset is not None:
        words.append(f"at {place_name(event.offset)}")
    if event.detail:
        words.append(event.detail)
    who = f"{event.guest}: " if event.guest else ""
    failure = f", {event.errno}" if event.errno else ""
    return f"{who}{' '.join(words)}{failure}"


LONGEST_PLACE = 5
"""Characters up to which an offset is written with a unit."""


def place_name(offset: int) -> str:
    """``offset`` (bytes) as kernel people write it: ``"38M"``, and in hex where that is not short: ``"0x2710000"``."""
    name = size_name(offset)
    return name if len(name) <= LONGEST_PLACE else f"{offset:#x}"


def failed_account(label: Label) -> str:
    """The account whose memory an event of this ``label`` could not have; empty if it did not fail for lack of it."""
    cause = label.detail.rpartition(": no memory for object")[0].partition(" of ")[0].rpartition(": ")[2]
    return cause if label.errno is not None and cause in ACCOUNTS else ""


def is_estimate(account: str) -> bool:
    """Whether the objects of the account of this name are estimated and not counted."""
    return account in ACCOUNTS and ACCOUNTS[account].estimate


def account_label(name: str) -> str:
    """The account's name, marked if its figures are estimates."""
    return f"{ESTIMATE} {name}" if is_estimate(name) else name


def account_colour(name: str) -> str:
    """The account's colour in every figure, as ``#rrggbb``."""
    return ACCOUNTS[name].colour if name in ACCOUNTS else NO_ACCOUNT


def wanted(verdict: Mapping[str, Any]) -> str:
    """What the expectation demands that ``verdict`` is about: ``"filemap_nodes.peak = 4162 after split"``."""
    words = [str(verdict["metric"])]
    if "op" in verdict:
        words += [SIGNS.get(verdict["op"], str(verdict["op"])), _value(verdict["metric"], verdict["expected"])]
        if verdict.get("rel") is not None:
            words.append(f"within {100 * verdict['rel']:g} %")
    if verdict.get("after"):
        words.append(f"after {verdict['after']}")
    return " ".join(words)


def found(verdict: Mapping[str, Any]) -> str:
    """The value that the metric had, written as :func:`wanted` writes what was expected."""
    return _value(verdict["metric"], verdict["value"])


def failures(kind: str, failed: Mapping[str, int]) -> str:
    """How calls of ``kind`` failed: ``"2×ENOMEM, 1×SIGBUS (EFAULT)"``; a fault of the host's user space is a signal."""
    names = {"EFAULT": "SIGBUS (EFAULT)"} if kind == "fault" else {}
    return ", ".join(f"{number(n)}×{names.get(errno, errno)}" for errno, n in failed.items() if n)


def is_modelled_time(metric: str) -> bool:
    """Whether the metric is a modelled time in ns."""
    return "modelled_time_ns" in metric and "not_priced" not in metric


def _value(metric: object, value: object) -> str:
    if not isinstance(value, int | float):
        return str(value)
    if is_modelled_time(str(metric)):
        return modelled_time(value)
    return f"{value:,}" if isinstance(value, int) or value % 1 else f"{value:,.0f}"


def tree_summary(shown: Picture) -> str:
    """How large the tree is, in one line: ``"XArray: 74 nodes, mark 2"``."""
    if shown.head is None:
        return "XArray: empty"
    nodes = "no node" if not shown.nodes else f"{shown.nodes:,} node{'s' if shown.nodes > 1 else ''}"
    return f"XArray: {nodes}{marks_of(shown.marks)}"


def marks_of(marks: tuple[int, ...]) -> str:
    """``", marks 0 2"``; nothing if there are none."""
    return f", mark{'s' if len(marks) > 1 else ''} {' '.join(map(str, marks))}" if marks else ""
