# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen after a run: a few tables that fit 80 columns.

Theory of operation
-------------------
Everything shown comes from the summary; nothing is computed here but human units.  Counts are exact and are shown in
full, bytes in human units beside them.  What is an estimate carries the sign ≈ and a line below says so.  Colour only
repeats what words and signs already say, so the tables read the same when they are piped into a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gmemsim.reports import Reportable
from gmemsim.reports.guests import HOST_ITSELF, counts_of, failures_of, foremost, others, peaks_of
from gmemsim.reports.screen.fitted import plain_table
from gmemsim.reports.words import (
    ESTIMATE,
    account_label,
    failures,
    found,
    modelled_time,
    number,
    provenance,
    times_note,
    wanted,
)
from gmemsim.results.timeline import TOTAL
from gmemsim.units import human_duration, human_size

COLUMNS = ("live", "peak", "allocated", "live bytes", "peak bytes")
"""What is shown of an account."""

MOST_GUESTS = 24
"""Guests listed one by one: a screenful; the JSON summary has all of them."""


def render(result: Reportable) -> RenderableType:
    """The summary of ``result`` for a rich console."""
    summary = result.summary
    parts: list[RenderableType] = [
        _heading(summary),
        _facts(summary),
        _accounts(summary["accounts"], summary.get("vmemmap_present")),
        _remarks(summary),
    ]
    if len(summary["guests"]) > 1:
        parts.append(_guests(summary))
    if "nodes" in summary:
        parts.append(_nodes(summary["nodes"]))
    if summary["expect"]:
        parts.append(_expectations(summary["expect"]))
    if made := provenance([summary]):
        parts.append(Text(f"\n{made}", style="dim"))
    return Group(*parts)


def _heading(summary: Mapping[str, Any]) -> Text:
    text = Text(str(summary["title"]), style="bold")
    end = human_duration(summary["end_time_ns"])
    text.append(f"\nsimulated time {end}, seed {summary['seed']}{_settings(summary)}\n", style="not bold")
    if summary.get("partial"):
        text.append("PARTIAL: interrupted before its end\n", style="bold red")
    for said in summary.get("notes", ()):
        text.append(f"note: {said}\n", style="not bold")
    return text


def _settings(summary: Mapping[str, Any]) -> str:
    """What was put into the scenario's text, if anything."""
    settings = summary.get("provenance", {}).get("set")
    return f", with {', '.join(settings)}" if settings else ""


def _facts(summary: Mapping[str, Any]) -> Table:
    """Conversions, splits, merges and folios: one line each; and what went wrong without an errno, if anything."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    calls = summary["conversions"]
    failed = sum(calls["failed"].values())
    words = f"{number(calls['requested'])} requested, {number(calls['succeeded'])} succeeded"
    unchanged = f" ({number(calls['unchanged'])} changed nothing)" if "unchanged" in calls else ""
    outcome = Text(f"{words}{unchanged}, {number(failed)} failed")
    if failed:
        outcome.append(f" ({_listing(calls['failed'])})", style="yellow")
    for key, said in (("retried", "tried again"), ("given_up", "given up")):
        outcome.append(f", {number(calls[key])} {said}" if key in calls else "")
    table.add_row("conversions", outcome)
    for name in ("splits", "merges", "folios"):
        table.add_row(name, Text(_listing(summary[name]) or "none"))
    if summary.get("host_faults"):
        table.add_row("host faults", number(summary["host_faults"]))
    for kind, ended in summary.get("calls", {}).items():
        if kind != "convert" and any(ended["failed"].values()):
            table.add_row(f"{kind.replace('_', ' ')}s failed", Text(failures(kind, ended["failed"]), style="yellow"))
    for guests, remarks in _logs(summary.get("replays", ())):
        table.add_row("log", Text(f"{guests}: {remarks}", style="yellow" if "WARNING" in remarks else ""))
    bad = {name.replace("_", " "): n for name, n in summary.get("outcomes", {}).items()}
    if any(bad.values()):
        table.add_row("gone wrong", Text(_listing(bad), style="red"))
    return table


def _logs(replays: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """The remarks on logs and whose they are: those that are the same for many guests once."""
    guests: dict[tuple[str, str], list[str]] = {}
    for log in replays:
        guests.setdefault((log["file"], "; ".join(log["remarks"])), []).append(log["guest"])
    for (_, remarks), names in guests.items():
        yield (names[0] if len(names) == 1 else f"{names[0]} … {names[-1]} ({len(names)} guests)"), remarks


def _accounts(accounts: Mapping[str, Mapping[str, int]], present: Mapping[str, int] | None) -> RenderableType:
    used = [name for name, tally in accounts.items() if name != TOTAL and tally["allocated"]]
    if not used:
        return Text("\nNo account held any memory.")
    table = plain_table("account", *COLUMNS, spare=("allocated", "live", "live bytes", "peak"))
    for name in used:
        table.add_row(account_label(name), *_cells(accounts[name]))
    table.add_section()
    table.add_row("total", *_cells(accounts[TOTAL]), style="bold")
    if present:
        sizes = map(human_size, (present["live"], present["peak"]))
        table.add_row("vmemmap present", "", "", "", *sizes, style="dim")
    return Group("", table)


def _cells(tally: Mapping[str, int]) -> list[str]:
    counts = [number(tally[key]) for key in ("live", "peak", "allocated")]
    return [*counts, human_size(tally["live_bytes"]), human_size(tally["peak_bytes"])]


def _remarks(summary: Mapping[str, Any]) -> Text:
    """The modelled time, and what is exact and what is not."""
    text = Text()
    times = dict(summary["modelled_time_ns"])
    total = times.pop("total", None)
    told = summary.get("estimates", {}).get("modelled_time_ns", {})
    if total or told.get("not_priced"):
        text.append(f"\nmodelled time {ESTIMATE} {modelled_time(total or 0)}", style="bold")
        if total and "at_least" in told:
            text.append(f" ({modelled_time(told['at_least'])} to {modelled_time(told['at_most'])})")
        text.append(f", cost profile {told['profile']}" if "profile" in told else "")
        phases = sorted(((ns, name) for name, ns in times.items() if ns), reverse=True)
        listed = ", ".join(f"{name} {modelled_time(ns)}" for ns, name in phases)
        text.append(f": {listed}" if listed else "")
        text.append(f"\n{note}" if (note := times_note(summary)) else "")
    legend = f"\n{ESTIMATE} marks estimates, all else is counted; the total's peak is that of the sum"
    text.append(legend, style="dim")
    return text


def _guests(summary: Mapping[str, Any]) -> RenderableType:
    """The guests that stand out, if there are more than a screenful, and what the host itself holds."""
    guests = {str(guest["name"]): guest for guest in summary["guests"]}
    table = plain_table(
        "guest",
        *("converted", "failed", "splits", "merges", "live bytes", "peak bytes"),
        spare=("merges", "splits", "live bytes", "converted"),
    )
    peaks, failed = peaks_of(guests.values()), failures_of(guests.values())
    shown = foremost(peaks, MOST_GUESTS, failed)
    for name in shown:
        guest = guests[name]
        table.add_row(name, *map(number, counts_of(guest)), *_held(guest["accounts"][TOTAL]))
    host = summary.get("host_accounts", {TOTAL: {"peak_bytes": 0}})[TOTAL]
    if host["peak_bytes"]:
        table.add_row(HOST_ITSELF, *[""] * 4, *_held(host), style="dim")
    rest = others(peaks, failed, shown)
    return Group("", table, *([Text(f"{rest}: --json shows all", style="dim")] if rest else []))


def _held(total: Mapping[str, int]) -> tuple[str, str]:
    return human_size(total["live_bytes"]), human_size(total["peak_bytes"])


def _nodes(nodes: Mapping[str, Mapping[str, Any]]) -> RenderableType:
    table = plain_table("node", "free", "live bytes", "peak bytes", "limit", "elsewhere", spare=("free", "live bytes"))
    for name, node in nodes.items():
        pools = [f"{number(n['free'])}/{number(n['total'])}×{size}" for size, n in node["hugepages"].items()]
        memory = node["kernel_memory"]
        sizes = [human_size(memory[key]) for key in ("live_bytes", "peak_bytes")]
        limit = human_size(memory["limit_bytes"]) if "limit_bytes" in memory else "none"
        table.add_row(name, " ".join(pools), *sizes, limit, number(node["fallbacks"]))
    return Group("", table)


def _expectations(expectations: list[Mapping[str, Any]]) -> RenderableType:
    table = plain_table("expected", "found", "")
    for entry in expectations:
        verdict = Text("pass", style="green") if entry["ok"] else Text("FAIL", style="bold red")
        table.add_row(Text(wanted(entry)), Text(found(entry)), verdict)
    kept = sum(bool(entry["ok"]) for entry in expectations)
    return Group("", table, Text(f"{kept} of {len(expectations)} expectations hold"))


def _listing(counts: Mapping[str, int]) -> str:
    """``"2×1G->4K, 1×2M->4K"``: the counts that are not zero, each one word so that no line ends inside."""
    return ", ".join(f"{number(n)}×{name}" for name, n in counts.items() if n)
