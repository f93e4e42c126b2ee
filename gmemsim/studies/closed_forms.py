# SPDX-License-Identifier: GPL-2.0-or-later
"""Formulas for reserves, where there are any; they are shown beside numbers from runs, and tests compare both.

Theory of operation
-------------------
A split walks down the rungs of its policy, and at each splits the blocks that hold shared pages.  So what it takes is a
sum over rungs: the blocks of a rung's order that are *touched*, times what one of them takes.  The worst placement of N
pages touches min(N, blocks) of them if the pages are spread; a block of N pages touches ⌈(N - 1) / size⌉ + 1 at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

import attrs

from gmemsim.gmem.policy import Policy
from gmemsim.host.switches import STRUCT_PAGE_BYTES_OF
from gmemsim.host.vmemmap import VmemmapLayout
from gmemsim.studies.reserve import Question
from gmemsim.xarray import XArray

CHUNK: Final = 6
"""Bits of an index that a node of the XArray looks at (DOMAIN.md section 2)."""


@attrs.frozen
class ClosedForm:
    """How many objects of ``account`` are needed for N pages: as ``text``, and by calling ``value`` with N."""

    account: str
    text: str
    value: Callable[[int], int]


@attrs.frozen
class _Term:
    """``each`` objects for every touched block of ``order``."""

    order: int
    each: int


def closed_forms(question: Question, policy: Policy) -> Iterator[ClosedForm]:
    """The closed forms that ``question`` has under ``policy``."""
    if policy.splits_at_conversion and policy.splits_at_fault:
        return  # two calls share the split
    rungs = policy.rungs(question.order, question.geometry)
    layout = VmemmapLayout(question.geometry, STRUCT_PAGE_BYTES_OF[question.kernel.memdesc])
    if not policy.generation_rule.splits_page_by_page:
        root = int(question.scope == "life" and policy.merges_early and question.order % CHUNK == 0)
        yield _form(question, "filemap_nodes", list(_node_terms(rungs)), root)
    restored = layout.restored(question.order)
    if policy.uses_hvo and restored:
        if not policy.pieces_stay_optimised or policy.restores_all_first:
            yield _form(question, "vmemmap", [], restored)
        else:
            yield _form(question, "vmemmap", list(_vmemmap_terms(layout, rungs)), 0)


def _node_terms(rungs: tuple[int, ...]) -> Iterator[_Term]:
    """XArray nodes that splitting a block of every rung takes; halves leave one of them at every level."""
    tree = XArray()
    for order, below in pairwise(rungs):
        nodes = tree.nodes_needed(order, below)
        if nodes:
            yield _Term(order, nodes)


def _vmemmap_terms(layout: VmemmapLayout, rungs: tuple[int, ...]) -> Iterator[_Term]:
    """vmemmap pages that splitting a block of every rung restores: all of its own, less what its pieces save."""
    for order, below in pairwise(rungs):
        pages = layout.restored(order) - (layout.restored(below) << order - below)
        if pages:
            yield _Term(order, pages)


def _form(question: Question, account: str, terms: list[_Term], more: int) -> ClosedForm:
    """``more`` plus all ``terms``.  One call of a spread pattern converts one page, and the first takes the most."""
    alone = question.pattern == "one" or (question.pattern == "spread" and question.scope == "call")
    block = question.pattern == "block"

    def touched(order: int, pages: int) -> int:
        blocks = 1 << question.order - order
        if alone or pages == 1:
            return 1
        return min(blocks, -(-(pages - 1) >> order) + 1 if block else pages)

    def value(pages: int) -> int:
        return more + sum(term.each * touched(term.order, pages) for term in terms)

    always = more + sum(term.each for term in terms if alone or term.order == question.order)
    words = [str(always)] if always else []
    for term in terms:
        if not alone and term.order < question.order:
            blocks, size = 1 << question.order - term.order, 1 << term.order
            found = f"⌈(N-1)/{size}⌉+1" if block else "N"
            times = "" if term.each == 1 else f"{term.each}·"
            words.append(f"{times}min({found}, {blocks})")
    return ClosedForm(account, " + ".join(words) or "0", value)
