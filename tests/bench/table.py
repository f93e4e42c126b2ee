# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of a benchmark: as text for a terminal, as Markdown for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.meter import ROWS

BEGIN, END = "<!-- bench: begin -->\n", "<!-- bench: end -->\n"
"""What the table stands between in a page."""

Rows = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Row -> form -> figures."""


def machine_words(machine: Mapping[str, str], rounds: int) -> str:
    """What was measured on and how, in a sentence."""
    where = f"{machine['cpu']}, Python {machine['python']}, {machine['system']}"
    taken = "one round" if rounds == 1 else f"medians of {rounds} rounds"
    return f"{where}; {taken} in turn; in parentheses without collections of garbage."


def digits(value: float) -> str:
    """A number with three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(figures: Mapping[str, Any] | None) -> str:
    """One figure, the one without collections in parentheses."""
    if figures is None:
        return ""
    if "error" in figures:
        return "failed"
    alone = f" ({digits(figures['alone'])})" if "alone" in figures else ""
    return digits(figures["value"]) + alone


def ratio(row: str, first: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> str:
    """How many times better ``other`` is than ``first``."""
    if first is None or other is None or not (first.get("value") and other.get("value")):
        return ""
    times = first["value"] / other["value"]
    return f"{1 / times if ROWS[row].more else times:.2f} ×"


def lines(figures: Rows, columns: Sequence[str], baseline: Rows) -> list[list[str]]:
    """Head and rows: the figures of every form, then how many times better each is than the first."""
    others = [column for column in columns[1:] if column != "kernel C"]
    kernel = "kernel C" in columns and columns[0] == "pure"
    table = [
        ["row", "unit", *columns]
        + [f"{columns[0]} / {other}" for other in others]
        + (["compiled / kernel C" if "compiled" in columns else "pure / kernel C"] if kernel else [])
        + ([f"stored {column}" for column in columns] if baseline else [])
    ]
    for row, by_form in figures.items():
        ours = by_form.get("compiled", by_form.get("pure"))
        theirs = by_form.get("kernel C")
        table.append(
            [row, ROWS[row].unit, *(cell(by_form.get(column)) for column in columns)]
            + [ratio(row, by_form.get(columns[0]), by_form.get(other)) for other in others]
            + ([ratio(row, ours, theirs)] if kernel else [])
            + ([cell(baseline.get(row, {}).get(column)) for column in columns] if baseline else [])
        )
    return table


def as_text(figures: Rows, columns: Sequence[str], words: str, baseline: Rows) -> str:
    """The table for a terminal; ``baseline`` (may be empty) are stored figures."""
    table = lines(figures, columns, baseline)
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:], "", words])


def as_markdown(figures: Rows, columns: Sequence[str], words: str) -> str:
    """The table for a page, with what each row is."""
    head, *rows = lines(figures, columns, {})
    text = [words, "", f"| {' | '.join([*head, 'what'])} |", "|" + "---|" * (len(head) + 1)]
    text += [f"| {' | '.join([f'`{line[0]}`', *line[1:], ROWS[line[0]].what])} |" for line in rows]
    return "\n".join(text) + "\n"


def put_into(page: Path, table: str) -> None:
    """Replace the table in ``page``."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"bench: {page} has no lines {BEGIN.strip()} and {END.strip()}")
    page.write_text(f"{before}{BEGIN}{table}{END}{after}", encoding="utf-8")
