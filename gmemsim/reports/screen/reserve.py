# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen after ``reserve``: objects by account, in a table that fits a mail, and the closed forms."""

from __future__ import annotations

import textwrap

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gmemsim.reports.reserved import accounts_of, forms, question_in_words
from gmemsim.reports.words import ESTIMATE, account_label, is_estimate, made_by, number
from gmemsim.studies.reserve import Reserve
from gmemsim.units import human_size

MAIL = 77
"""Columns that a line of text may have."""

LEAST_POLICY = 10
"""Columns of the policy's name, which is folded if there is no room."""


def render(reserve: Reserve) -> RenderableType:
    """The reserves for a rich console."""
    heading, *said = question_in_words(reserve)
    text = Text(heading, style="bold")
    for line in said:
        text.append(f"\n{line}", style="bold red" if line.isupper() else "not bold")
    notes = [textwrap.fill(form, MAIL, subsequent_indent="    ", break_on_hyphens=False) for form in _forms(reserve)]
    if any(is_estimate(account) for account in accounts_of(reserve)):
        notes.append(f"{ESTIMATE}: an estimate, of a file in which nothing else is shared")
    notes.append(made_by(reserve))
    return Group(text, _table(reserve), Text("\n" + "\n".join(notes)))


def _forms(reserve: Reserve) -> list[str]:
    """The closed forms, each with all policies that have it."""
    policies: dict[str, list[str]] = {}
    for policy, account, form in forms(reserve):
        policies.setdefault(f"{account} = {form}", []).append(policy)
    return [f"{form}  ({', '.join(names)})" for form, names in policies.items()]


def _table(reserve: Reserve) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    table.add_column("policy", min_width=LEAST_POLICY, overflow="fold")
    table.add_column("pages", justify="right", no_wrap=True)
    accounts = accounts_of(reserve)
    for account in accounts:
        table.add_column(account_label(account).replace("_", "_\n").replace(" ", "\n"), justify="right", no_wrap=True)
    table.add_column("bytes", justify="right", no_wrap=True)
    before = None
    for row in reserve.rows:
        cells = [number(row.objects[account]) for account in accounts]
        table.add_row(row.policy if row.policy != before else "", number(row.pages), *cells, human_size(row.bytes))
        before = row.policy
    return table
