# SPDX-License-Identifier: GPL-2.0-or-later
"""``python -m tests.bench``: measure rows of one or several forms in turn, and show one table."""

from __future__ import annotations

import contextlib
import json
import platform
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import median
from typing import Any

import click

from tests.bench.child import load_rows
from tests.bench.forms import ROOT, Figures, Form, build, kernel_form, python_form, revision
from tests.bench.meter import ROWS
from tests.bench.table import as_markdown, as_text, machine_words, put_into

BASELINE = Path(__file__).with_name("baseline.json")
"""Figures of a known machine, beside which a table shows its own."""


def machine() -> dict[str, str]:
    """What was measured on, without a name: the processor's model, Python, the system."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {"cpu": model, "python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}


def chosen(patterns: str, *, big: bool) -> list[str]:
    """The names of the rows that are asked for: those that begin with, or match, one of the patterns."""
    wanted = [pattern for pattern in patterns.replace(",", " ").split() if pattern]
    return [
        name
        for name, row in ROWS.items()
        if (big or not row.big) and (not wanted or any(fnmatchcase(name, f"{pattern}*") for pattern in wanted))
    ]


def measure(forms: list[Form], rows: list[str], rounds: int) -> dict[str, dict[str, Figures]]:
    """The median figures: row -> form -> figures.  Forms take turns, row by row, round by round."""
    taken: dict[str, dict[str, list[Figures]]] = {row: {form.name: [] for form in forms} for row in rows}
    with click.progressbar(length=rounds * len(rows), label="measuring", file=sys.stderr) as bar:
        for number in range(rounds):
            for row in rows:
                for form in forms if number % 2 == 0 else forms[::-1]:
                    figures = form.measure(row)
                    if figures is not None:
                        taken[row][form.name].append(figures)
                bar.update(1)
    return {row: {form: middle(all_) for form, all_ in by_form.items() if all_} for row, by_form in taken.items()}


def middle(all_: list[Figures]) -> Figures:
    """The median of every figure; the first error if there was one."""
    for figures in all_:
        if "error" in figures:
            return figures
    return {key: round(median(figures[key] for figures in all_), 4) for key in all_[0]}


@click.command()
@click.option("--rows", default="", help="Only rows that match one of these patterns, such as `tree api.staged`.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Rounds; figures are medians.")
@click.option("--big", is_flag=True, help="Rows of a million conversions too.")
@click.option("--compare", "rev", metavar="REV", help="Measure this git revision too, in turn, and show ratios.")
@click.option("--json", "as_json", type=click.Path(path_type=Path), help="Write the figures to this file.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Put the table, as Markdown, into this page.")
def main(rows: str, rounds: int, big: bool, rev: str | None, as_json: Path | None, markdown: Path | None) -> None:
    """Measure, and print one table."""
    load_rows()
    names = chosen(rows, big=big)
    if not names:
        raise click.UsageError(f"no row matches {rows!r}; there are {', '.join(ROWS)}")
    for name in names:
        if ROWS[name].lacking:
            click.echo(f"bench: {name} is left out, for lack of {ROWS[name].lacking}", err=True)
    names = [name for name in names if not ROWS[name].lacking]
    with contextlib.ExitStack() as stack:
        forms = _forms(stack, rev)
        figures = measure(forms, names, rounds)
    columns = [form.name for form in forms]
    words = machine_words(machine(), rounds)
    click.echo(as_text(figures, columns, words, _baseline(columns) if rev is None else {}))
    for row, by_form in figures.items():
        for form, found in by_form.items():
            if "error" in found:
                click.echo(f"{row}, {form}: {found['error']}", err=True)
    if as_json is not None:
        content = {"machine": machine(), "rounds": rounds, "rows": figures}
        as_json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if markdown is not None:
        put_into(markdown, as_markdown(figures, columns, words))


def _forms(stack: contextlib.ExitStack, rev: str | None) -> list[Form]:
    """What is measured, in the order of the columns."""
    forms = []
    if rev is not None:
        folder = stack.enter_context(revision(rev))
        forms.append(python_form(rev, folder, compiled=False))
        if build(folder):
            forms.append(python_form(f"{rev} compiled", folder, compiled=True))
    forms.append(python_form("pure", ROOT, compiled=False))
    if build(ROOT):
        forms.append(python_form("compiled", ROOT, compiled=True))
    else:
        click.echo("bench: not compiled, so that form is left out", err=True)
    theirs = kernel_form()
    if theirs is None:
        click.echo("bench: the kernel's code is not built, so it is left out: make oracle", err=True)
    else:
        forms.append(theirs)
    return forms


def _baseline(columns: list[str]) -> dict[str, dict[str, Any]]:
    """The stored figures of forms that are measured too: row -> form -> figures."""
    if not BASELINE.exists():
        return {}
    rows: dict[str, dict[str, Any]] = json.loads(BASELINE.read_text(encoding="utf-8"))["rows"]
    return {row: {form: found for form, found in forms.items() if form in columns} for row, forms in rows.items()}


if __name__ == "__main__":
    main()
