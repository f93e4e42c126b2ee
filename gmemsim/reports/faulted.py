# SPDX-License-Identifier: GPL-2.0-or-later
"""What failing allocations leave, in words and lines that the screen and the figure of ``faults`` share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from gmemsim.reports.words import account_label, number
from gmemsim.studies.faults import Broken, Faults, Row
from gmemsim.studies.outcomes import AS_BEFORE, BROKEN, OUTCOMES, WITHOUT

COLOURS = {
    BROKEN: "#000000",
    "a hugepage lost to the pool": "#882255",
    "inconsistent": "#D55E00",
    "rollback failed": "#CC79A7",
    "rolled back": "#E69F00",
    "zapped without conversion": "#F0E442",
    "folios left split": "#332288",
    "earlier hugepages converted": "#56B4E9",
    "done in part": "#0072B2",
    "refused, mappings smaller": "#BBBBBB",
    AS_BEFORE: "#009E73",
    WITHOUT: "#44AA99",
}
"""The colour of every outcome in figures."""

Key = tuple[str, str, str, str]
"""What a line of details is about: outcome, step, call, account."""


@attrs.frozen
class OutcomeLine:
    """One outcome, or (``detail``) where it came from: a ``label``, and a count for each variant in order."""

    label: str
    counts: tuple[int, ...]
    detail: bool = False


def headings(faults: Faults) -> list[str]:
    """What tells the variants apart: policy, ordering, or both."""
    policies = {policy for policy, _ in faults.variants}
    orderings = {ordering for _, ordering in faults.variants}
    with_ordering = len(orderings) > 1 or policies == {None}
    return [
        " ".join(word for word in (policy if len(policies) > 1 else None, ordering if with_ordering else None) if word)
        or (policy or ordering)
        for policy, ordering in faults.variants
    ]


def lines(faults: Faults) -> Iterator[OutcomeLine]:
    """Every outcome there was, the worst first, each followed by the steps and accounts that it came from."""
    calls = calls_of(faults)
    for outcome in OUTCOMES:
        rows = [row for row in faults.rows if row.outcome == outcome]
        if rows:
            yield OutcomeLine(outcome, _counts(faults, rows))
            details: dict[Key, list[Row]] = {}
            for row in rows:
                details.setdefault((row.outcome, row.step, row.call, row.account), []).append(row)
            for (_, step, call, account), some in details.items():
                what = f"{step}, {call}" if len(calls[step]) > 1 else step
                yield OutcomeLine(f"{account_label(account)}: {what}", _counts(faults, some), detail=True)


def calls_of(faults: Faults) -> dict[str, list[str]]:
    """What the calls do in which something failed, by step."""
    found: dict[str, list[str]] = {}
    for row in sorted(faults.rows, key=lambda row: row.place):
        does = found.setdefault(row.step, [])
        if row.call not in does:
            does.append(row.call)
    return found


def _counts(faults: Faults, rows: Sequence[Row]) -> tuple[int, ...]:
    return tuple(sum(row.count for row in rows if (row.policy, row.ordering) == variant) for variant in faults.variants)


def summary(faults: Faults) -> list[str]:
    """What was covered, how, and whether the invariants held."""
    covered = f"{number(faults.points)} failures: every object the workload asks for, alone and from then on"
    if faults.sample_of is not None:
        covered = f"A SAMPLE of {number(faults.points)} of {number(faults.sample_of)} failures"
    equal = faults.points - faults.carried_out
    said = [covered, f"{number(faults.carried_out)} carried out, {number(equal)} equal to one of these"]
    if faults.left:
        said.append(f"PARTIAL: interrupted with {number(faults.left)} failures left")
    if faults.broken_points:
        said.append(f"AN INVARIANT BROKE after {number(faults.broken_points)} of them")
    else:
        where = " and at the end of the run" if faults.to_end else ""
        said.append(f"every invariant held after each of them{where}")
    return said


def broken_lines(broken: Broken) -> list[str]:
    """One failure after which an invariant broke: how to see it again, and what it says."""
    inject = f"inject: {{account: {broken.account}, nth: {broken.nth}, mode: {broken.mode}}}"
    under = " ".join(word for word in (broken.policy, broken.ordering) if word)
    first, *_ = broken.told.splitlines() or [""]
    return [f"{first}", f"  {under}, with  - {inject}  before {broken.step} (workload[{broken.place}])"]
