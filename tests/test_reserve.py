# SPDX-License-Identifier: GPL-2.0-or-later
"""What must be had beforehand: proved by runs, by closed forms, and against every other place of the pages."""

from __future__ import annotations

from itertools import product

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmemsim.gmem.policy import Policy
from gmemsim.gmem.presets import PRESETS
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.switches import KernelSwitches
from gmemsim.studies.closed_forms import closed_forms
from gmemsim.studies.reserve import (
    PATTERNS,
    SCOPES,
    USUAL,
    Pattern,
    Question,
    Scope,
    is_proved,
    needed,
    reserve,
    suffices,
)

M, G = 1 << 20, 1 << 30
TDX = KernelSwitches(pamt="dynamic")
POLICIES = {name: preset.policy for name, preset in PRESETS.items()}

DIFFERENT = (*USUAL, "ladder-1g", "ladder-1g-fault", "staged-reoptimize", "a-rfc-v2", "cleanup", "fault-time", "no-hvo")
"""Policies that differ in what a single hugepage takes."""


def fitting(question: Question) -> dict[str, Policy]:
    found = {}
    for name, policy in POLICIES.items():
        try:
            policy.rungs(question.order, question.geometry)
        except ValueError:
            continue
        found[name] = policy
    return found


@pytest.mark.parametrize("name", ["b-today", "staged-partial", "nonuniform", "a-rfc-v2", "reserve-first", "fault-time"])
@pytest.mark.parametrize(("scope", "pattern", "pages"), [("call", "block", 70), ("life", "spread", 3)])
def test_the_reserve_is_enough_and_one_object_less_is_not(
    name: str, scope: Scope, pattern: Pattern, pages: int
) -> None:
    """No failure beyond the reserve can hit; with one object less of any account, one can."""
    question = Question(scope=scope, pattern=pattern, mapping="tdx", kernel=TDX)
    policy = POLICIES[name]
    (row,) = reserve({name: policy}, [pages], question, prove=True).rows
    assert row.proved is True
    accounts = {account for account, objects in row.objects.items() if objects}
    assert {"filemap_nodes", "attributes", "stage2_page_tables", "pamt"} <= accounts


def test_a_proof_notices_one_object_too_many_or_too_few() -> None:
    question, policy = Question(pattern="one"), Policy(split="staged")
    (row,) = reserve({"staged": policy}, [1], question).rows
    assert is_proved(question, policy, row)
    for account, by in product(("filemap_nodes", "vmemmap", "attributes"), (1, -1)):
        wrong = attrs.evolve(row, objects={**row.objects, account: row.objects[account] + by})
        assert not is_proved(question, policy, wrong), (account, by)
        place = ((5, 6),)
        assert suffices(question, policy, place, wrong.objects) == (by > 0)


@pytest.mark.parametrize(("scope", "pattern"), list(product(SCOPES, PATTERNS)))
@pytest.mark.parametrize(
    ("backing", "page_size"), [(G, 4096), (2 * M, 4096), (32 * M, 16 << 10)], ids=["1G", "2M", "32M of 16K"]
)
def test_closed_forms_are_what_runs_say(scope: Scope, pattern: Pattern, backing: int, page_size: int) -> None:
    question = Question(scope=scope, pattern=pattern, backing=backing, page_size=page_size)
    policies = {name: policy for name, policy in fitting(question).items() if name in DIFFERENT}
    numbers = [
        pages for pages in (1, 3, 65, 4097) if pages <= min(question.most, 64 if pattern == "spread" else question.most)
    ]
    compared = 0
    for row in reserve(policies, numbers, question).rows:
        for form in closed_forms(question, policies[row.policy]):
            assert row.objects[form.account] == form.value(row.pages), (row, form.text)
            compared += 1
    assert compared > len(numbers)


def test_the_figures_of_the_thread() -> None:
    rows = {row.policy: row.objects for row in reserve(POLICIES, [1], Question(pattern="one")).rows}
    assert (rows["b-today"]["filemap_nodes"], rows["b-today"]["vmemmap"]) == (4161, 4095)
    assert (rows["staged-partial"]["filemap_nodes"], rows["staged-partial"]["vmemmap"]) == (73, 518)
    assert rows["nonuniform"]["filemap_nodes"] == 3
    assert rows["no-hvo"]["vmemmap"] == 0
    assert [name for name in rows if rows[name]["folio_metadata"]] == ["a-rfc-v2"]


def test_the_root_node_of_a_later_merge_is_in_the_life() -> None:
    """Order 18 fills the root's first slot alone, so a hole beside it takes the root away; order 9 never does."""
    for backing, more in ((G, 1), (2 * M, 0)):
        call, life = (
            reserve({"b": Policy()}, [1], Question(backing=backing, pattern="one", scope=scope)).rows[0]
            for scope in SCOPES
        )
        assert life.objects["filemap_nodes"] - call.objects["filemap_nodes"] == more


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(USUAL), st.sampled_from(SCOPES), st.data())
def test_no_other_block_takes_more(name: str, scope: Scope, data: st.DataObject) -> None:
    question = Question(scope=scope, pattern="block")
    pages = data.draw(st.integers(1, question.most) | st.integers(1, 5000))
    start = data.draw(st.integers(0, question.most - pages))
    policy = POLICIES[name]
    (row,) = reserve({name: policy}, [pages], question).rows
    taken = needed(question, policy, ((start, start + pages),))
    assert {account: taken[account] for account in ACCOUNTS if taken[account] > row.objects[account]} == {}


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(USUAL), st.sampled_from(SCOPES), st.sampled_from([G, 2 * M]), st.data())
def test_no_other_pages_take_more(name: str, scope: Scope, backing: int, data: st.DataObject) -> None:
    question = Question(backing=backing, scope=scope, pattern="spread")
    last = (1 << question.order) - 1
    chosen = data.draw(st.lists(st.integers(0, last), min_size=1, max_size=12, unique=True))
    policy = POLICIES[name]
    (row,) = reserve({name: policy}, [len(chosen)], question).rows
    taken = needed(question, policy, tuple((page, page + 1) for page in chosen))
    assert {account: taken[account] for account in ACCOUNTS if taken[account] > row.objects[account]} == {}


@pytest.mark.parametrize("name", ["b-today", "nonuniform-partial"])
def test_every_block_of_a_small_hugepage(name: str) -> None:
    question = Question(backing=2 * M, pattern="block")
    policy = POLICIES[name]
    for pages in (2, 65, 300, 511):
        most = dict.fromkeys(ACCOUNTS, 0)
        for start in range(question.most - pages + 1):
            taken = needed(question, policy, ((start, start + pages),))
            most = {account: max(number, taken[account]) for account, number in most.items()}
        (row,) = reserve({name: policy}, [pages], question).rows
        assert row.objects == most


def test_what_is_asked_wrongly() -> None:
    with pytest.raises(ValueError, match="no machine has hugepages of 4M"):
        Question(backing=4 * M)
    with pytest.raises(ValueError, match="tdx is of x86"):
        Question(backing=32 * M, page_size=16 << 10, mapping="tdx")
    with pytest.raises(ValueError, match="found base pages of 8K"):
        Question(page_size=8192)
    with pytest.raises(ValueError, match="expected 1 to 262,144"):
        reserve(None, [262145])
    with pytest.raises(ValueError, match=r"^l: ladder"):
        reserve({"l": Policy(split=(18, 0))}, [], Question(backing=2 * M))


def test_it_stops_when_asked() -> None:
    asked = iter([False, False, True] + [True] * 100)
    found = reserve({"b": Policy()}, [1, 2, 64], stop=lambda: next(asked))
    assert (len(found.rows), found.left) == (2, 1)
