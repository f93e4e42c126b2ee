# SPDX-License-Identifier: GPL-2.0-or-later
"""The screen after ``reserve``: objects by account, in a table that fits a mail, and the closed forms."""

from __future__ import annotations

import textwrap

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from gmemsim.reports.reserved import accounts_of, forms, question_in_words
from gmemsim.reports.screen.fitted import FittedTable, in_lines
from gmemsim.reports.words import ESTIMATE, MAIL_COLUMNS, account_label, is_estimate, made_by, number
from gmemsim.studies.reserve import Reserve
from gmemsim.units import human_size

LEAST_POLICY = 10
"""Columns of the policy's name, which is folded if there is no room."""


def render(reserve: Reserve) -> RenderableType:
    """The reserves for a rich console."""
    heading, *said = question_in_words(reserve)
    text = Text(heading, style="bold")
    for line in said:
        text.append(f"\n{line}", style="bold red" if line.isupper() else "not bold")
    notes = []
    if any(is_estimate(account) for account in accounts_of(reserve)):
        notes.append(f"{ESTIMATE}: an estimate, of a file in which nothing else is shared")
    notes.append(made_by(reserve))
    return Group(text, _table(reserve), "", _Forms(_forms(reserve)), Text("\n".join(notes)))


class _Forms:
    """Lines that go on indented, in a mail's columns or the terminal's."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(MAIL_COLUMNS, options.max_width)
        for line in self.lines:
            yield Text(textwrap.fill(line, width, subsequent_indent="    ", break_on_hyphens=False))


def _forms(reserve: Reserve) -> list[str]:
    """The closed forms, each with all policies that have it."""
    policies: dict[str, list[str]] = {}
    for policy, account, form in forms(reserve):
        policies.setdefault(f"{account} = {form}", []).append(policy)
    return [f"{form}  ({', '.join(names)})" for form, names in policies.items()]


def _table(reserve: Reserve) -> FittedTable:
    accounts = accounts_of(reserve)
    most = {account: max(row.objects[account] for row in reserve.rows) for account in accounts}
    fewest_first = sorted(most, key=most.__getitem__)
    table = FittedTable(spare=[in_lines(account_label(account)) for account in fewest_first], gap=0)
    table.add_column("policy", min_width=LEAST_POLICY, overflow="fold")
    table.add_column("pages", justify="right", no_wrap=True)
    for account in accounts:
        table.add_column(in_lines(account_label(account)), justify="right", no_wrap=True)
    table.add_column("bytes", justify="right", no_wrap=True)
    before = None
    for row in reserve.rows:
        cells = [number(row.objects[account]) for account in accounts]
        table.add_row(row.policy if row.policy != before else "", number(row.pages), *cells, human_size(row.bytes))
        before = row.policy
    return table
