# SPDX-License-Identifier: GPL-2.0-or-later
"""A summary as notebooks show it: a small table of HTML, without a script and without a style of its own."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from gmemsim.units import human_size


def as_html(summary: Mapping[str, Any]) -> str:
    """Title, conversions, what each account held, and the expectations of ``summary``."""
    used = {name: tally for name, tally in summary["accounts"].items() if tally["allocated"]}
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{tally['live']:,}</td><td>{tally['peak']:,}</td>"
        f"<td>{human_size(tally['peak_bytes'])}</td></tr>"
        for name, tally in used.items()
    )
    head = "<tr><th>account</th><th>live</th><th>peak</th><th>peak bytes</th></tr>"
    return f"<p><b>{escape(str(summary['title']))}</b><br>{escape(outcome(summary))}</p><table>{head}{rows}</table>"


def outcome(summary: Mapping[str, Any]) -> str:
    """What came of a run with ``summary``: ``"28 of 28 conversions, peak 37.0 MiB, 15 of 15 expectations hold"``."""
    calls, expected = summary["conversions"], summary["expect"]
    words = [f"{calls['succeeded']:,} of {calls['requested']:,} conversions"]
    words.append(f"peak {human_size(summary['accounts']['total']['peak_bytes'])}")
    if expected:
        words.append(f"{sum(bool(entry['ok']) for entry in expected)} of {len(expected)} expectations hold")
    return ", ".join(words)
