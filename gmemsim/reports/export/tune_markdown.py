# SPDX-License-Identifier: GPL-2.0-or-later
"""A tuning as Markdown for a mail: policies are numbered in the table and written out below it."""

from __future__ import annotations

from gmemsim.reports.export.mail import mail
from gmemsim.reports.tuned import HEADER, asked, cells, rows, sentences
from gmemsim.reports.words import made_by
from gmemsim.studies.tune import Tuning


def write(tuning: Tuning) -> str:
    """The tuning as Markdown, below 78 columns, long policies apart."""
    said = f"{'' if tuning.complete else 'PARTIAL: interrupted. '}{asked(tuning)}."
    told = rows(tuning)
    table = [(f"{i} {mark}", *cells(found)[1:]) for i, (mark, found) in enumerate(told, 1)]
    policies = [f"{i}: {cells(found)[0]}" for i, (_, found) in enumerate(told, 1)]
    after = [*policies, *sentences(tuning), made_by(tuning)]
    return mail(tuning.scenario.title, said, ("policy", *HEADER[2:]), table, after)
