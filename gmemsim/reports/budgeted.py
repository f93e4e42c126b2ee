# SPDX-License-Identifier: GPL-2.0-or-later
"""A budget in words and cells, as the screen and Markdown show it: one row a policy, at most 77 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gmemsim.messages import together
from gmemsim.reports.words import ESTIMATE, account_label, describe, number
from gmemsim.studies.budget import Budget, BudgetRow
from gmemsim.studies.quantiles import CONFIDENCE
from gmemsim.units import human_duration, human_size

USES: Final[Mapping[str, str]] = {
    "pool": "hugepages",
    "kernel": "kernel memory",
    "vmemmap_kept": "vmemmap of the pool that HVO keeps",
    "struct_pages": "struct pages of the rest",
    "pamt": f"{ESTIMATE} static PAMT of the rest",
    "other": "other uses",
}
"""What a host's memory is used for, in words."""

NONE: Final = "–"
"""In place of a figure that is not known."""


def header(budget: Budget) -> tuple[str, ...]:
    """The heads of the columns."""
    if budget.host is not None:
        return ("policy", "guests", "hugepages", "kernel", "static", "left")
    return ("policy", "guests", "bytes", "low", "high", "slabs")


def cells(budget: Budget, row: BudgetRow) -> tuple[str, ...]:
    """The figures of a row, without the policy."""
    if budget.host is None or row.uses is None:
        slabs = None if row.need is None else row.need.slabs
        return (number(row.guests), *map(_size, (row.bytes, row.low, row.high, slabs)))
    static = sum(size for name, size in row.uses.items() if name not in ("pool", "kernel"))
    left = budget.host.memory - sum(row.uses.values())
    return (number(row.guests), *map(_size, (row.uses["pool"], row.uses["kernel"], static, left)))


def _size(size: int | None) -> str:
    return NONE if size is None else human_size(size)


def title(budget: Budget) -> str:
    """What is asked, in one sentence."""
    question = budget.question
    of = f"the guest {question.only}" if question.only else _guests(budget)
    starts = f"{human_duration(question.stagger)} apart" if question.stagger else "at the same time"
    if budget.host is not None:
        return f"How many copies of {of} fit {human_size(budget.host.memory)}, if they start {starts}"
    copies = max((row.guests for row in budget.rows), default=1)
    many = f"{number(copies)} copies of {of}, which start {starts}," if copies > 1 else of
    return f"Kernel memory that {many} must have so that no conversion fails"


def _guests(budget: Budget) -> str:
    guests = budget.question.scenario.guest_names
    return f"the guest {guests[0]}" if len(guests) == 1 else f"the {number(len(guests))} guests"


def sentences(budget: Budget) -> list[str]:
    """What must be known to read the table: about the seeds, then of every row what decides it."""
    told = [_seeds(budget)] if budget.rows else []
    told += together((row.policy, sentence) for row in budget.rows for sentence in _decided(row))
    told.append("slabs: bytes in whole slabs and pages, at least; what fragmentation adds is not modelled")
    return told if budget.host is None else told[:-1]


def _seeds(budget: Budget) -> str:
    if not budget.random:
        return (
            "exact: the workload does not depend on the seed, and the peak of a run without limits is the least budget"
        )
    row = max(budget.rows, key=lambda row: row.seeds)
    percent = f"{100 * CONFIDENCE:g} %"
    runs = "1 seed" if row.seeds == 1 else f"{number(row.seeds)} seeds"
    said = f"the {row.quantile:g} quantile over {runs}"
    if row.high is None:
        return f"{said}: too few for an upper end of the {percent} interval, which takes {number(budget.needed)} seeds"
    return f"{said}; low and high enclose it with {percent}, whatever the distribution"


def _decided(row: BudgetRow) -> list[str]:
    if row.refused is not None:
        return [f"not simulated: {row.refused}"]
    if row.need is None or row.bytes is None:
        return [f"not even one copy fits: {human_size(row.short or 0)} are missing"]
    need = row.need
    account = f"{account_label(need.account)} has {human_size(need.accounts[need.account])} of it"
    cause = f", in {describe(need.call)}" if need.call is not None else ""
    told = [f"{account} at {human_duration(need.at_ns)}{cause}"]
    if row.uses is not None:
        static = [
            f"{USES[name]} {human_size(size)}" for name, size in row.uses.items() if name not in ("pool", "kernel")
        ]
        told.append(f"static: {'; '.join(static)}")
        told.append(_one_more(row))
    return told


def _one_more(row: BudgetRow) -> str:
    if row.short is None:
        return "one more was not run: its hugepages alone do not fit, or a host has no more guests here"
    return f"one more was run and does not fit: {human_size(row.short)} are missing"
