# SPDX-License-Identifier: GPL-2.0-or-later
"""A reserve in words, shared by its screen and its figure."""

from __future__ import annotations

from collections.abc import Iterator

from gmemsim.host.accounts import ACCOUNTS
from gmemsim.reports.words import number
from gmemsim.studies.closed_forms import closed_forms
from gmemsim.studies.reserve import Reserve
from gmemsim.units import size_name

PATTERNS = {
    "one": "one page",
    "spread": "pages anywhere, a call each",
    "block": "pages beside each other, by one call",
}
SCOPES = {
    "call": "for one call, to shared or back",
    "life": "for the hugepage's life, until it is merged in a filemap that has shrunk",
}


def question_in_words(reserve: Reserve) -> list[str]:
    """A title, and lines that say what was asked."""
    question = reserve.question
    backing, page = size_name(question.backing), size_name(question.page_size)
    mapping = question.mapping or question.geometry.default_mapping(question.backing)
    said = [f"What must be had so that converting {page} pages of a {backing} hugepage cannot fail"]
    said.append(f"{PATTERNS[question.pattern]}, where they take the most; mapping {mapping}")
    said.append(SCOPES[question.scope])
    if reserve.rows and reserve.rows[0].proved is not None:
        wrong = [f"{row.policy} of {number(row.pages)} pages" for row in reserve.rows if not row.proved]
        proof = "proved by runs: with it nothing fails, with one object less something does"
        said.append(f"NOT PROVED: {', '.join(wrong)}" if wrong else proof)
    if reserve.left:
        said.append(f"PARTIAL: INTERRUPTED WITH {number(reserve.left)} ROWS LEFT")
    return said


def accounts_of(reserve: Reserve) -> list[str]:
    """The accounts of which anything is needed."""
    return [name for name in ACCOUNTS if any(row.objects[name] for row in reserve.rows)]


def forms(reserve: Reserve) -> Iterator[tuple[str, str, str]]:
    """Policy, account and closed form of all that grow with the number N of pages."""
    for name, policy in reserve.policies.items():
        for form in closed_forms(reserve.question, policy):
            yield name, form.account, form.text
