# SPDX-License-Identifier: GPL-2.0-or-later
"""A run as one HTML file: memory over time, guests, calls, events, policies explained, the scenario, versions.

What is a page, and what makes it alive, is :mod:`gmemsim.reports.page`'s; here is what a run's page says.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from gmemsim.gmem.policy import KEYS
from gmemsim.reports import figures
from gmemsim.reports.figures.calls import KINDS, Calls, calls_of
from gmemsim.reports.figures.curves import Integers
from gmemsim.reports.guests import counts_of, failures_of, foremost, host_itself, others, peaks_of
from gmemsim.reports.page import plots
from gmemsim.reports.page.parts import Block, Cell, Page, Picture, Records, Section, Source, Table, Words
from gmemsim.reports.page.shell import render as render_page
from gmemsim.reports.views import View
from gmemsim.reports.words import ESTIMATE, account_label, found, modelled_time, number, place_name, times_note, wanted
from gmemsim.results.pricing import call_times, profile_of
from gmemsim.results.provenance import VERSION, form
from gmemsim.results.timeline import TOTAL
from gmemsim.units import human_duration, human_size, size_name

LIBRARIES = ("attrs", "numpy", "matplotlib", "PyYAML", "sortedcontainers")
"""Packages whose versions are listed beside gmemsim's and Python's."""

MOST_GUESTS = 64
"""Guests listed one by one; the JSON summary has all of them."""

MOST_EVENTS = 20_000
"""Events in the page at most."""

NO_BREAK_HYPHEN = "\u2011"
"""Keeps ``1G->4K`` on one line."""

LARGEST_SOURCE = 200_000
"""Characters of the scenario that are shown at most; a longer one is cut, and says so."""

DRAWN = ("memory", "map")
"""Figures that a live page has as one plot over time."""


def write(view: View, path: Path) -> None:
    """Write the page to ``path``: with the view's figures, and the scenario's text if it is known."""
    page = render(view, source=view.source, names=view.figures)
    path.write_text(page, encoding="utf-8", newline="\n", errors="backslashreplace")


def render(view: View, *, source: str | None, names: Iterable[str], live: bool | None = None) -> str:
    """The page as text: figures called ``names``, the scenario's ``source``; ``live`` as in ``page.shell.render``."""
    summary, names = view.result.summary, tuple(names)
    sections = [
        Section("Over time", list(_over_time(view, names))),
        Section("Memory", [_accounts(summary["accounts"]), *_remarks(summary)]),
        Section("What happened", [_facts(summary)]),
        Section("Calls", list(_calls(view, names))),
        Section("Guests", _guests(summary)),
        Section("Figures", [_picture(name, view) for name in names if name not in (*DRAWN, "calls")]),
        Section("Events", [_events(view)] if names else []),
        Section("Policies", list(_policies(summary["guests"]))),
        Section("Expectations", [_expectations(summary["expect"])] if summary["expect"] else []),
        Section("Scenario", [Source(source, LARGEST_SOURCE)] if source is not None else []),
        Section("Made by", [_versions(summary)]),
    ]
    return render_page(Page(view.title, _heading(summary), sections), live=live)


def _heading(summary: Mapping[str, Any]) -> str:
    calls = summary["conversions"]
    failed = sum(calls["failed"].values())
    facts = [
        f"simulated time {human_duration(summary['end_time_ns'])}",
        f"seed {summary['seed']}",
        f"{number(calls['requested'])} conversions, {number(failed)} failed",
        f"peak {human_size(summary['accounts'][TOTAL]['peak_bytes'])}",
    ]
    if summary["expect"]:
        kept = sum(bool(entry["ok"]) for entry in summary["expect"])
        facts.append(f"{kept} of {len(summary['expect'])} expectations hold")
    return ", ".join(facts)


def _over_time(view: View, names: Sequence[str]) -> Iterator[Block]:
    drawn = [name for name in names if name in DRAWN]
    if drawn:
        yield plots.over_time(view)
    for name in drawn:
        yield _picture(name, view, unless_live=True)


def _picture(name: str, view: View, *, unless_live: bool = False) -> Picture:
    return Picture(figures.FIGURES[name].caption, partial(figures.write, name, view), unless_live)


def _accounts(accounts: Mapping[str, Mapping[str, int]]) -> Table:
    rows = []
    for name in [name for name, tally in accounts.items() if name == TOTAL or tally["allocated"]]:
        tally = accounts[name]
        counts = [Cell(number(tally[key]), tally[key]) for key in ("live", "peak", "allocated")]
        sizes = [_size(tally[key]) for key in ("live_bytes", "peak_bytes")]
        rows.append([account_label(name), *counts, *sizes])
    header = ("account", "live", "peak", "allocated", "live bytes", "peak bytes")
    return Table("Memory by account", header, rows, last_is_sum=True)


def _size(size: int) -> Cell:
    return Cell(human_size(size), size)


def _remarks(summary: Mapping[str, Any]) -> list[Block]:
    times = dict(summary["modelled_time_ns"])
    total = times.pop("total", 0.0)
    phases = ", ".join(f"{name} {modelled_time(ns)}" for name, ns in sorted(times.items(), key=lambda p: -p[1]) if ns)
    profile = summary.get("estimates", {}).get("modelled_time_ns", {})
    note = f"{ESTIMATE} marks estimates, all else is counted; the total's peak is that of the sum."
    said = f"Modelled time {ESTIMATE} {modelled_time(total)}"
    if "at_least" in profile:
        said += f", from {modelled_time(profile['at_least'])} to {modelled_time(profile['at_most'])}"
    said += f" ({phases or 'nothing priced'}), "
    said += f"cost profile {profile.get('profile', 'unknown')}: {profile.get('source', '')}."
    caveats = times_note(summary)
    said += f" {caveats[:1].upper()}{caveats[1:]}." if caveats else ""
    return [Words(said), Words(note, "facts")]


def _facts(summary: Mapping[str, Any]) -> Table:
    def listed(counts: Mapping[str, int]) -> str:
        words = ", ".join(f"{number(n)}×{name}" for name, n in counts.items() if n) or "none"
        return words.replace("-", NO_BREAK_HYPHEN)

    calls = summary["calls"] if "calls" in summary else {"convert": summary["conversions"]}
    rows = []
    for kind, ended in calls.items():
        asked = f"{number(ended['requested'])} requested, {number(ended['succeeded'])} succeeded"
        rows.append((kind, f"{asked}; failed: {listed(ended['failed'])}"))
    rows += [(name, listed(summary[name])) for name in ("splits", "merges", "folios")]
    bad = {name.replace("_", " "): n for name, n in summary.get("outcomes", {}).items()}
    if any(bad.values()):
        rows.append(("gone wrong", listed(bad)))
    return Table("What happened", (), rows, wordy=True)


def _calls(view: View, names: Sequence[str]) -> Iterator[Block]:
    if "calls" not in names:
        return
    calls = calls_of(view.result)
    if (calls.times > 0).any():
        yield plots.call_times(calls)
    yield _picture("calls", view, unless_live=True)
    yield Table(
        "Calls by kind", ("kind", "calls", "priced", "median ≈", "90 % ≈", "99 % ≈", "longest ≈"), _kinds(calls)
    )


def _kinds(calls: Calls) -> list[list[Cell]]:
    rows = []
    for kind, (name, _, _) in enumerate(KINDS):
        times = calls.of(kind)
        if not len(times):
            continue
        priced = times[times > 0]
        if len(priced) > 1:
            told = [Cell(modelled_time(ns), ns) for ns in np.quantile(priced, (0.5, 0.9, 0.99, 1.0)).tolist()]
        elif len(priced):  # a distribution of one call has one value
            told = [*[Cell("")] * 3, Cell(modelled_time(float(priced[0])), float(priced[0]))]
        else:
            told = [Cell("not priced")] * 4
        rows.append([Cell(name), *(Cell(number(n), n) for n in (len(times), len(priced))), *told])
    return rows


def _guests(summary: Mapping[str, Any]) -> list[Block]:
    guests = {str(guest["name"]): guest for guest in summary["guests"]}
    peaks, failed = peaks_of(guests.values()), failures_of(guests.values())
    shown = foremost(peaks, MOST_GUESTS, failed)
    rows: list[list[str | Cell]] = []
    for name in shown:
        guest = guests[name]
        size = f"{size_name(guest['memory'])} on {size_name(guest['backing'])}, {guest['mapping']}"
        numbers = [Cell(number(count), count) for count in counts_of(guest)]
        rows.append([name, Cell(size, guest["memory"]), *numbers, *_held(guest["accounts"][TOTAL])])
    header = ("guest", "memory", "converted", "failed", "splits", "merges", "live bytes", "peak bytes")
    said = [others(peaks, failed, shown), f"{words}." if (words := host_itself(summary)) else ""]
    return [Table("Guests", header, rows), *(Words(words, "facts") for words in said if words)]


def _held(total: Mapping[str, int]) -> tuple[Cell, Cell]:
    return _size(total["live_bytes"]), _size(total["peak_bytes"])


def chosen_events(view: View) -> Integers:
    """The events that the page lists: all, or all that failed and the longest, as many as fit, and of the rest some."""
    events = view.result.timeline.events
    if len(events) <= MOST_EVENTS:
        return np.arange(len(events))
    failed = np.array([i for i, (label, _) in enumerate(events.rows()) if label.errno is not None], dtype=np.int64)
    longest = np.argsort(-call_times(events, profile_of(view.result.summary)), kind="stable")[: MOST_EVENTS // 20]
    first = np.union1d(plots.kept_events(failed, MOST_EVENTS // 2), longest)
    rest = plots.kept_events(np.setdiff1d(np.arange(len(events)), first), MOST_EVENTS - len(first))
    chosen: Integers = np.union1d(first, rest)
    return chosen


def _events(view: View) -> Records:
    events, chosen = view.result.timeline.events, chosen_events(view)
    times = call_times(events, profile_of(view.result.summary))[chosen] / 1000
    listed = [events[i] for i in chosen.tolist()]
    columns: dict[str, list[object]] = {
        "event": [i + 1 for i in chosen.tolist()],
        "time [s]": [round(event.time_ns / 1e9, 6) for event in listed],
        "guest": [event.guest or "" for event in listed],
        "call": [event.kind for event in listed],
        "size": ["" if event.size is None else size_name(event.size) for event in listed],
        "offset": ["" if event.offset is None else place_name(event.offset) for event in listed],
        "detail": [event.detail for event in listed],
        "errno": [event.errno or "" for event in listed],
        f"{ESTIMATE} µs": [float(f"{ns:.3g}") for ns in times.tolist()],
    }
    note = "All events."
    if len(chosen) < len(events):
        note = (
            f"{len(chosen):,} of {len(events):,} events: those that failed, the longest, and of the others every nth."
        )
    return Records("events", columns, note)


def _policies(guests: Sequence[Mapping[str, Any]]) -> Iterator[Block]:
    """Every policy that occurs, with the guests that have it and what each of its values means."""
    having: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
    for guest in guests:
        having.setdefault(repr(guest["policy"]), (guest["policy"], []))[1].append(str(guest["name"]))
    for policy, names in having.values():
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8:,} more" if len(names) > 8 else "")
        yield Words(f"{shown}:")
        yield Table(f"Policy of {shown}", (), [(key, *KEYS[key].explained(policy[key])) for key in policy], wordy=True)


def _expectations(expectations: Sequence[Mapping[str, Any]]) -> Table:
    verdicts = {True: Cell("pass", kind="good"), False: Cell("FAIL", kind="bad")}
    rows = [(wanted(entry), found(entry), verdicts[bool(entry["ok"])]) for entry in expectations]
    return Table("Expectations", ("expected", "found", "verdict"), rows)


def _versions(summary: Mapping[str, Any]) -> Table:
    rows = [
        ("gmemsim", VERSION),
        ("form", form()),
        ("Python", platform.python_version()),
        ("seed", str(summary["seed"])),
    ]
    for library in LIBRARIES:
        try:
            rows.append((library, version(library)))
        except PackageNotFoundError:
            continue
    return Table("Versions", (), rows, wordy=True)
