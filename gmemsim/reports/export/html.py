# SPDX-License-Identifier: GPL-2.0-or-later
"""A run as one HTML file that needs nothing else: summary, figures, policies explained, the scenario, versions.

Theory of operation
-------------------
The file contains everything it shows.  Figures are SVG inside ``data:`` addresses (each its own document, so ids do not
meet), the style is inline, there is no script, and a content security policy forbids the browser to fetch anything.
All text from outside (titles, names, the scenario's source) is escaped in one place, :func:`_text`.
"""

from __future__ import annotations

import base64
import html
import platform
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gmemsim import compiled
from gmemsim.gmem.policy import KEYS
from gmemsim.reports import figures
from gmemsim.reports.views import View
from gmemsim.reports.words import ESTIMATE, account_label, found, modelled_time, number, times_note, wanted
from gmemsim.results.timeline import TOTAL
from gmemsim.units import human_duration, human_size, size_name
from gmemsim.version import __version__

LIBRARIES = ("attrs", "numpy", "matplotlib", "PyYAML", "sortedcontainers")
"""Packages whose versions are listed beside gmemsim's and Python's."""

MOST_GUESTS = 64
"""Guests listed one by one; the JSON summary has all of them."""

NO_BREAK_HYPHEN = "\u2011"
"""Keeps ``1G->4K`` on one line."""

LARGEST_SOURCE = 200_000
"""Characters of the scenario that are shown at most; a longer one is cut, and says so."""

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin-top: 2.2rem }
.facts, figcaption { color: #555 } figure { margin: 1.5rem 0 } figure img { width: 100%; max-width: 52rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } .wide { overflow-x: auto }
th, td { padding: .15rem .9rem .15rem 0; text-align: right; white-space: nowrap }
th:first-child, td:first-child, .words td { text-align: left } .words td { white-space: normal; vertical-align: top }
thead th { border-bottom: 1px solid #999 } tr.sum td { border-top: 1px solid #999; font-weight: 600 }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; font-size: .85rem; line-height: 1.4 }
.bad { color: #a40000; font-weight: 600 } .good { color: #116329 }
"""


def write(view: View, path: Path) -> None:
    """Write the report to ``path``: with the view's figures, and the scenario's text if it is known."""
    page = render(view, source=view.source, names=view.figures)
    path.write_text(page, encoding="utf-8", newline="\n", errors="backslashreplace")


def render(view: View, *, source: str | None, names: Iterable[str]) -> str:
    """The report as"""
    summary = view.result.summary
    parts = [
        _heading(view),
        *(_figure(name, view) for name in names),
        _section("Memory", _accounts(summary["accounts"]), _remarks(summary)),
        _section("What happened", _facts(summary)),
        _section("Guests", _guests(summary["guests"])),
        _section("Policies", *_policies(summary["guests"])),
        _section("Expectations", _expectations(summary["expect"])) if summary["expect"] else "",
        _section("Scenario", _source(source)) if source is not None else "",
        _section("Made by", _versions(summary)),
    ]
    return _page(view.title, "\n".join(filter(None, parts)))


def _page(title: str, body: str) -> str:
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">\n'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _text(words: object) -> str:
    """``words`` as text of the page, whatever characters are in them."""
    return html.escape(str(words))


def _section(title: str, *content: str) -> str:
    return f"<section><h2>{_text(title)}</h2>\n" + "\n".join(content) + "\n</section>"


def _table(
    header: Sequence[str], rows: Iterable[Sequence[object]], *, kind: str = "", last_is_sum: bool = False
) -> str:
    body = [f"<td>{'</td><td>'.join(_text(cell) for cell in row)}</td>" for row in rows]
    lines = [f"<tr>{cells}</tr>" for cells in body]
    if last_is_sum and body:
        lines[-1] = f'<tr class="sum">{body[-1]}</tr>'
    head = f"<thead><tr><th>{'</th><th>'.join(map(_text, header))}</th></tr></thead>" if header else ""
    return f'<div class="wide"><table class="{kind}">{head}<tbody>{"".join(lines)}</tbody></table></div>'


def _heading(view: View) -> str:
    summary = view.result.summary
    calls = summary["conversions"]
    failed = sum(calls["failed"].values())
    peak = human_size(summary["accounts"][TOTAL]["peak_bytes"])
    kept = sum(bool(entry["ok"]) for entry in summary["expect"])
    facts = [
        f"simulated time {human_duration(summary['end_time_ns'])}",
        f"seed {summary['seed']}",
        f"{number(calls['requested'])} conversions, {number(failed)} failed",
        f"peak {peak}",
    ]
    if summary["expect"]:
        facts.append(f"{kept} of {len(summary['expect'])} expectations hold")
    return f'<h1>{_text(view.title)}</h1>\n<p class="facts">{_text(", ".join(facts))}</p>'


def _figure(name: str, view: View) -> str:
    """The figure as an image; its caption is also what it is called where images cannot be seen."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "figure.svg")
        figures.write(name, view, path)
        data = base64.b64encode(path.read_bytes()).decode("ascii")
    caption = _text(figures.FIGURES[name].caption)
    image = f'<img alt="{caption}" src="data:image/svg+xml;base64,{data}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _accounts(accounts: Mapping[str, Mapping[str, int]]) -> str:
    used = [name for name, tally in accounts.items() if name == TOTAL or tally["allocated"]]
    rows = []
    for name in used:
        tally = accounts[name]
        counts = [number(tally[key]) for key in ("live", "peak", "allocated")]
        rows.append([account_label(name), *counts, human_size(tally["live_bytes"]), human_size(tally["peak_bytes"])])
    return _table(("account", "live", "peak", "allocated", "live bytes", "peak bytes"), rows, last_is_sum=True)


def _remarks(summary: Mapping[str, Any]) -> str:
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
    return f'<p>{_text(said)}</p><p class="facts">{_text(note)}</p>'


def _facts(summary: Mapping[str, Any]) -> str:
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
    return _table((), rows, kind="words")


def _guests(guests: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for guest in guests[:MOST_GUESTS]:
        calls, total = guest["conversions"], guest["accounts"][TOTAL]
        size = f"{size_name(guest['memory'])} on {size_name(guest['backing'])}, {guest['mapping']}"
        counts = (calls["succeeded"], calls["failed"], guest["splits"], guest["merges"])
        numbers = [number(count if isinstance(count, int) else sum(count.values())) for count in counts]
        held = (human_size(total["live_bytes"]), human_size(total["peak_bytes"]))
        rows.append([guest["name"], size, *numbers, *held])
    more = len(guests) - MOST_GUESTS
    rest = f'<p class="facts">… and {more:,} more guests.</p>' if more > 0 else ""
    header = ("guest", "memory", "converted", "failed", "splits", "merges", "live bytes", "peak bytes")
    return _table(header, rows) + rest


def _policies(guests: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """Every policy that occurs, with the guests that have it and what each of its values means."""
    having: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
    for guest in guests:
        having.setdefault(repr(guest["policy"]), (guest["policy"], []))[1].append(str(guest["name"]))
    for policy, names in having.values():
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8:,} more" if len(names) > 8 else "")
        rows = [(key, *KEYS[key].explained(value)) for key, value in policy.items()]
        yield f"<p>{_text(shown)}:</p>" + _table((), rows, kind="words")


def _expectations(expectations: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for entry in expectations:
        kind, word = ("good", "pass") if entry["ok"] else ("bad", "FAIL")
        cells = f"<td>{_text(wanted(entry))}</td><td>{_text(found(entry))}</td>"
        rows.append(f'<tr>{cells}<td class="{kind}">{word}</td></tr>')
    head = "<thead><tr><th>expected</th><th>found</th><th></th></tr></thead>"
    return f'<div class="wide"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


def _source(source: str) -> str:
    cut = source[:LARGEST_SOURCE]
    rest = f'<p class="facts">… {len(source) - len(cut):,} more characters.</p>' if cut != source else ""
    return f"<pre>{_text(cut)}</pre>{rest}"


def _versions(summary: Mapping[str, Any]) -> str:
    rows = [
        ("gmemsim", __version__),
        ("form", compiled.form()),
        ("Python", platform.python_version()),
        ("seed", summary["seed"]),
    ]
    for library in LIBRARIES:
        try:
            rows.append((library, version(library)))
        except PackageNotFoundError:
            continue
    return _table((), rows, kind="words")
