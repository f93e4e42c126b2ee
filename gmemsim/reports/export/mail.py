# SPDX-License-Identifier: GPL-2.0-or-later
"""Markdown for a mail: a title, a padded table, and sentences, at most :data:`MAIL_COLUMNS` wide.

Padded, so that it reads as plain text too.  Titles, names and sentences are text: what means something in Markdown is
escaped.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from gmemsim.reports.export.compare_markdown import block, cut, escaped
from gmemsim.reports.words import MAIL_COLUMNS


def mail(title: str, before: str, header: Sequence[str], rows: Iterable[Sequence[str]], after: Iterable[str]) -> str:
    """The mail: ``title`` and the sentence ``before`` it all, the table, and the sentences ``after`` it.

    The first column of the table is text, the others are figures.
    """
    rows = list(rows)
    room = MAIL_COLUMNS - 4 - sum(3 + max(map(len, column)) for column in list(zip(header, *rows, strict=True))[1:])
    body = [(cut(row[0], room), *row[1:]) for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    rule = ("-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:]))
    table = [_row(cells, widths) for cells in (header, rule, *body)]
    head = [block(textwrap.fill(escaped(text), MAIL_COLUMNS - 1)) for text in (title, before)]
    tail = [textwrap.fill(escaped(f"{text}."), MAIL_COLUMNS) for text in after]
    return "\n".join(["\n\n".join(head), "", *table, "", "\n\n".join(tail)]) + "\n"


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    figures = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join([cells[0].ljust(widths[0]), *figures])} |"
