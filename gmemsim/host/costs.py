# SPDX-License-Identifier: GPL-2.0-or-later
"""Costs: counted work in, modelled time out.

Theory of operation
-------------------
A :class:`~gmemsim.host.work.Work` says what a step did, in counts that are exact.  A
:class:`CostProfile` has a price for each count and multiplies.  **Every time is an estimate**: the published
timings are few, come from other kernels and machines, and mostly concern 2M hugepages.  So each price is a
:class:`Price` that names its source, says how far it may be off, and whether it has been stretched beyond what was
measured.  Work without any public figure has no price: it is counted, it adds nothing to a time, and wherever a time is
shown what is not in it is named.  A user who knows the figure gives it (:meth:`CostProfile.with_prices`).

A profile that bears the name of a source prices what that source measured and nothing else.  ``default`` puts the
sources together and covers the most; as Roth's work per page contains the tree's, it counts that twice (some 3 % of a
split).  It takes the lower of the two prices of a split that his figures allow (:data:`ROTH_RESTRUCTURE_CYCLES`),
``roth-snp-2025`` the one that his measured shares come to.

Kravetz's runs give seconds for allocating and freeing a number of 2M hugepages in three ways (HVO off, on, on
in batches), and the prices follow from their differences; :func:`_kravetz` is that derivation.  They measure how the
pool is made.  A guest's hugepages come from a pool that is there, optimised or not, before the run begins; what taking
one costs is not published, so the time of making it stands in, by its size, and HVO adds nothing to it.  Clearing is
priced apart, by the byte.

*Bands.*  Where two sources or two machines measured the same thing, the band is their disagreement; elsewhere it is
assumed, and the source says so.  The band of a sum is the sum of the bands' ends: errors may well go the same way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from gmemsim.host.vmemmap import VmemmapLayout
from gmemsim.host.work import COUNTERS, PHASES, Work


@attrs.frozen
class Price:
    """The price of one unit of a count: ``ns``; ``None``: there is no public figure, the count is not priced.

    ``source`` says where the figure is published.  ``extrapolated`` (default: yes): it was measured on another machine,
    size or operation than the one it is used for, or not at all.  ``within``: the true figure is between
    ``ns / within`` and ``ns * within`` (default: a factor of 2, **assumed** for a figure from another machine).
    ``ValueError`` for a negative price or a factor below 1.
    """

    ns: float | None = attrs.field(validator=attrs.validators.optional(attrs.validators.ge(0)))
    source: str
    extrapolated: bool = True
    within: float = attrs.field(default=2.0, validator=attrs.validators.ge(1))


def _copy(figures: Mapping[str, Price]) -> Mapping[str, Price]:
    return dict(figures)


@attrs.frozen
class CostProfile:
    """A price for every count, in ``figures``; ``ValueError`` if one is missing or unknown.

    ``name`` is how scenarios call it, ``description`` says what it is made of.  ``leaves_out``: what is in the total
    that its source published and in no run, to be said beside a time (default: nothing).
    """

    name: str
    description: str
    figures: Mapping[str, Price] = attrs.field(converter=_copy)
    leaves_out: str = ""

    @figures.validator
    def _check_figures(self, _: object, figures: Mapping[str, Price]) -> None:
        if figures.keys() != set(COUNTERS):
            wrong = sorted(figures.keys() ^ set(COUNTERS))
            raise ValueError(f"profile {self.name}: figures missing or unknown: {', '.join(wrong)}")

    def price(self, work: Work) -> dict[str, float]:
        """Modelled time of ``work`` in ns, an estimate: by phase, and their ``"total"``.  What has no price adds 0."""
        times = dict.fromkeys(PHASES.values(), 0.0)
        for counter, phase in PHASES.items():
            times[phase] += getattr(work, counter) * self.ns(counter)
        times["total"] = sum(times.values())
        return times

    def ns(self, counter: str) -> float:
        """The price of one unit of ``counter`` in ns, 0 if it has none."""
        return self.figures[counter].ns or 0.0

    def band(self, work: Work) -> tuple[float, float]:
        """The least and the most, in ns, that the total of ``work`` may be within the bands of all prices."""
        each = [(getattr(work, name) * self.ns(name), self.figures[name].within) for name in COUNTERS]
        return sum(ns / within for ns, within in each), sum(ns * within for ns, within in each)

    def not_priced(self, work: Work) -> dict[str, int]:
        """The counts of ``work`` that no time contains, since they have no price."""
        return {name: getattr(work, name) for name in COUNTERS if self.figures[name].ns is None and getattr(work, name)}

    def extrapolated(self, work: Work) -> list[str]:
        """The counters of ``work`` whose price has been stretched beyond what was measured."""
        return [name for name in COUNTERS if getattr(work, name) and self.ns(name) and self.figures[name].extrapolated]

    def with_prices(self, prices: Mapping[str, float]) -> CostProfile:
        """This profile with the user's ``prices``, in ns by counter, in place of its own."""
        given = {name: Price(ns, GIVEN, extrapolated=False, within=1.0) for name, ns in prices.items()}
        return attrs.evolve(self, figures={**self.figures, **given})


GIVEN = "given by the user"
"""The source of a price that a scenario sets."""


def _not_measured(source: str, **figures: Price) -> dict[str, Price]:
    """``figures``, and no price for any other count because ``source`` has none."""
    return {name: Price(None, f"not measured by {source}") for name in COUNTERS} | figures


def _between(low: float, high: float, source: str, *, extrapolated: bool = True) -> Price:
    """A price that is published, or may be read, as anything from ``low`` to ``high`` ns."""
    return Price(math.sqrt(low * high), source, extrapolated, math.sqrt(high / low))


def _disagreeing(one: Mapping[str, Price], other: Mapping[str, Price]) -> tuple[dict[str, Price], dict[str, Price]]:
    """Both, with bands that reach from each to the other, of a fifth at least (**assumed**)."""
    found: tuple[dict[str, Price], dict[str, Price]] = {}, {}
    for name in one:
        a, b = one[name].ns or 1.0, other[name].ns or 1.0
        within = max(a / b, b / a, 1.2)
        found[0][name] = attrs.evolve(one[name], within=within)
        found[1][name] = attrs.evolve(other[name], within=within)
    return found


PAGES_PER_2M = 512
"""Base pages of a 2M hugepage on x86."""

VMEMMAP_PAGES_RESTORED_2M = VmemmapLayout().restored(9)
"""vmemmap pages that HVO frees and restores for a 2M hugepage on x86, Kravetz's machines: 7."""


def _kravetz(
    machine: str,
    hugepages: int,
    off: tuple[float, float],
    unbatched: tuple[float, float],
    batched: tuple[float, float],
) -> dict[str, Price]:
    """Prices from seconds to allocate and to free ``hugepages`` of 2M: HVO off, on one by one, on in batches.

    The batched runs flush the TLB once a batch, so what they take beyond those without HVO is the work on
    vmemmap pages, and what the runs one by one take beyond them is one flush a hugepage.  Freeing takes a
    little longer than that; the rest goes to ``restores``.  Optimising and restoring at the measured size
    come out exactly as published.
    """

    def ns_each(seconds: float) -> float:
        return seconds / hugepages * 1e9

    source = f"Kravetz 2023, {hugepages:,} hugepages of 2M, {machine} (DOMAIN.md section 5)"
    flush = ns_each(unbatched[0] - batched[0])
    return {
        "vmemmap_pages_freed": Price(
            ns_each(batched[0] - off[0]) / VMEMMAP_PAGES_RESTORED_2M,
            f"{source}: allocating in batches beyond HVO off, by 7 pages; 1G is extrapolated",
        ),
        "vmemmap_pages_restored": Price(
            ns_each(batched[1] - off[1]) / VMEMMAP_PAGES_RESTORED_2M,
            f"{source}: freeing in batches beyond HVO off, by 7 pages; 1G is extrapolated",
        ),
        "pages_copied": Price(0.0, f"{source}: contained in vmemmap_pages_restored"),
        "optimises": Price(0.0, f"{source}: contained in vmemmap_pages_freed and tlb_flushes"),
        "restores": Price(
            ns_each(unbatched[1] - batched[1]) - flush,
            f"{source}: freeing one by one beyond batches, less a flush",
            extrapolated=False,
        ),
        "tlb_flushes": Price(
            flush, f"{source}: allocating one by one beyond batches, one flush each", extrapolated=False
        ),
        "allocations": Price(0.0, f"{source}: contained in pages_allocated"),
        "pages_allocated": Price(
            ns_each(off[0]) / PAGES_PER_2M,
            f"{source}: making a 2M page of the pool with HVO off, by 512 pages; taking one is not published; 1G is"
            " extrapolated",
        ),
    }


_E7, _EPYC_VM = _disagreeing(
    _kravetz("8-socket E7-8895", 500_000, (4.119, 4.477), (28.973, 36.748), (7.267, 13.199)),
    _kravetz("VM of 252 vCPUs on EPYC", 524_288, (2.463, 2.931), (147.6, 149.9), (4.799, 5.273)),
)

ORDINARY_CONVERSION_CYCLES = 320
"""An ordinary conversion on SNP (Roth, 12 Jul 2025; DOMAIN.md section 6)."""

RESTRUCTURE_FACTOR = 100
"""Splitting or merging a 2M hugepage, in ordinary conversions (Roth, 12 Jul 2025; DOMAIN.md section 6): "≈ 100"."""

ROTH_TOTAL_CYCLES = 1_043_938_460
"""All cycles spent in conversions while his guest booted and ran (same source)."""

ROTH_RESTRUCTURE_SHARE = 0.07
"""How much of them went into splits and merges: "≈ 7 %" (same source)."""

ROTH_SPLITS, ROTH_MERGES = 622, 30
"""Hugepages of 2M split, and merged again, in that run (same source)."""

ROTH_RESTRUCTURE_CYCLES = ROTH_RESTRUCTURE_SHARE * ROTH_TOTAL_CYCLES / (ROTH_SPLITS + ROTH_MERGES)
"""Cycles of a split or a merge that follow from the four figures above: 112,079, *derived*.

The mail's figures do not all fit each other.  652 splits and merges of 100 × 320 cycles would be 20.9 million, 2 % of
the total and not 7 %; 7 % makes each of them 350 ordinary conversions and not 100.  And the other 93 % would be 3.03
million ordinary conversions, 11.6 GiB in single pages, far more than the guest can have shared: most of them must have
found nothing to do, for which 320 cycles are plausible, while a zap with its flush takes more.  A simulated boot has
no such calls.  So what is compared is the modelled cost of a run's splits and merges with the mail's own total.
"""

ASSUMED_GHZ = 2.5
"""Cycles a nanosecond.  Assumed: Roth gives cycles and no clock; server EPYCs run at 2.2 to 3.1 GHz."""

_CLOCK = 3.1 / ASSUMED_GHZ
"""How far the clock may be off."""

_SHARES = ROTH_RESTRUCTURE_CYCLES / (RESTRUCTURE_FACTOR * ORDINARY_CONVERSION_CYCLES)
"""How far apart his figures for a split are: 3.5."""

_ROTH_SOURCE = f"Roth, 12 Jul 2025, SNP guest on 2M HugeTLB (DOMAIN.md section 6), at an assumed {ASSUMED_GHZ} GHz"
_RESTRUCTURE_PER_PAGE = Price(
    ORDINARY_CONVERSION_CYCLES * RESTRUCTURE_FACTOR / PAGES_PER_2M / ASSUMED_GHZ,
    f"{_ROTH_SOURCE}: 100 ordinary conversions by 512 pages, everything contained;"
    " his 7 % of all cycles for 622 splits and 30 merges would make it 350; 1G is extrapolated",
    within=_SHARES * _CLOCK,
)
_ROTH_SHARE_PER_PAGE = Price(
    ROTH_RESTRUCTURE_CYCLES / PAGES_PER_2M / ASSUMED_GHZ,
    f"{_ROTH_SOURCE}: 7 % of 1,043,938,460 cycles by 622 splits and 30 merges of 512 pages, everything contained;"
    " that is 350 ordinary conversions, where he says about 100; other sizes and policies are extrapolated by the page",
    within=_SHARES * _CLOCK,
)
_ROTH = {
    "conversions": Price(
        ORDINARY_CONVERSION_CYCLES / ASSUMED_GHZ,
        f"{_ROTH_SOURCE}: 320 cycles; the zap of a page is contained",
        within=_CLOCK,
    ),
    "entries_stored": _RESTRUCTURE_PER_PAGE,
    "folios_merged": _RESTRUCTURE_PER_PAGE,
    "folios_split": Price(0.0, f"{_ROTH_SOURCE}: contained in entries_stored"),
    "nodes_allocated": Price(0.0, f"{_ROTH_SOURCE}: contained in entries_stored"),
    "nodes_freed": Price(0.0, f"{_ROTH_SOURCE}: contained in folios_merged"),
    "slots_written": Price(0.0, f"{_ROTH_SOURCE}: contained in entries_stored and folios_merged"),
}

SPLIT_18_TO_0_NS = 134_000
"""Median of splitting order 18 to 0 with the RFC's code in user space, marks written only where there are
any; as posted it takes 367 µs (the notes to the golden traces, number 5)."""

SPLIT_18_TO_0_AS_POSTED_NS = 367_000
"""The same with the code as posted (same source)."""

SPLIT_18_TO_0_SLOTS = 4161 * 64
"""Slots that this writes: 4161 nodes of 64 (DOMAIN.md section 1)."""

SLAB_PAIR_NS = 25.583
"""Taking and giving back one object, one by one, 250 in a row: Linux commit fbd02630c6e3 ("slub: initial bulk
free implementation"), i7-4790K, column "fallback"."""

_SLAB = Price(
    SLAB_PAIR_NS / 2,
    "half of the 25.583 ns for taking and giving back an object: Linux commit fbd02630c6e3, i7-4790K",
)
_LIBRARY = {
    "nodes_allocated": _SLAB,
    "nodes_freed": _SLAB,
    "slots_written": Price(
        SPLIT_18_TO_0_NS / SPLIT_18_TO_0_SLOTS,
        "134 µs for splitting order 18 to 0 (266,304 slots) with the kernel's lib/xarray.c in user space;"
        " 367 µs as posted",
        within=SPLIT_18_TO_0_AS_POSTED_NS / SPLIT_18_TO_0_NS,
    ),
    "rcu_synchronisations": Price(
        10_000_000.0, "assumed: one grace period of 10 ms, the default of host.rcu_grace; 3 to 30 ms", within=3.0
    ),
}

CLEARED_BYTES_PER_NS = 13.7
"""GB/s at which AMD Milan clears memory page by page: Linux commit cb431accb36e ("x86/clear_page: introduce
clear_pages()"), whose own clearing in one piece comes to 38."""

_CLEARED = "Linux commit cb431accb36e, AMD Milan: 13.7 GB/s page by page, 38 GB/s for 1G in one piece"

_CLEARING = {
    "bytes_cleared": Price(
        1 / CLEARED_BYTES_PER_NS,
        f"{_CLEARED}; other machines, and memory of another node, are extrapolated",
        within=38 / CLEARED_BYTES_PER_NS,
    ),
    "bytes_zeroed": Price(
        1 / CLEARED_BYTES_PER_NS,
        f"{_CLEARED}; a write of its own, which only the merge makes (DOMAIN.md section 10)",
        within=38 / CLEARED_BYTES_PER_NS,
    ),
}

_KALYAZIN = {
    "base_pages_allocated": Price(
        550.0,
        "Kalyazin, Nov 2024: filling guest_memfd takes 0.55 µs a page more than anonymous memory (derived, DOMAIN.md"
        " section 10); what anonymous memory takes is not in it",
    ),
}

GIB_PAGES = 1 << 30 >> 12
"""Base pages of 1 GiB on x86."""


def _misono(exits_us: tuple[float, float], first_touch_s: float) -> dict[str, Price]:
    """Prices from an exit's round trip in µs (the least and the most) and 32 GB touched first less touched again."""
    source = "Misono et al., POMACS 8(3) 36, Dec 2024 (DOMAIN.md section 10)"
    low, high = exits_us
    per_page = first_touch_s / 32 / GIB_PAGES * 1e9
    return {
        "exits": _between(low * 1e3, high * 1e3, f"{source}: round trip of an exit, {low:g} to {high:g} µs"),
        "pages_accepted": _between(
            per_page,
            per_page * (1 << 30) / 1e9,
            f"{source}: 32 GB (or GiB) touched first less touched again, {first_touch_s:g} s; faults, clearing"
            " and exits contained",
        ),
    }


_NO_FIGURE = {
    "zapped_pages": Price(None, "no public figure beyond the one page that is contained in conversions"),
    "host_pages_unmapped": Price(None, "no public figure"),
    "kicks": Price(None, "no public figure"),
    "exits": Price(None, "the guest's time and not the host's: see misono-snp-2024 and misono-tdx-2024"),
    "pages_accepted": Price(
        None, "mostly the guest's time, clearing contained: see misono-snp-2024 and misono-tdx-2024"
    ),
    "rmp_updates": Price(None, "no public figure for RMPUPDATE"),
    "psmashes": Price(None, "no public figure for PSMASH"),
    "demotes": Price(None, "no public figure for TDH.MEM.PAGE.DEMOTE"),
}

PROFILES: Mapping[str, CostProfile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            CostProfile(
                "default",
                "Estimates put together: vmemmap, flushes and hugepages from Kravetz's bare-metal run,"
                " the tree from a user-space measurement, conversions and per-page work from Roth, clearing from"
                " AMD Milan",
                _NO_FIGURE | _E7 | _ROTH | _LIBRARY | _CLEARING | _KALYAZIN,
            ),
            CostProfile(
                "kravetz-e7-2023",
                "Estimates for vmemmap and hugepages only, on an 8-socket E7-8895",
                _not_measured("Kravetz", **_E7),
            ),
            CostProfile(
                "kravetz-epyc-vm-2023",
                "Estimates for vmemmap and hugepages only, in a VM of 252 vCPUs, where flushes are dear",
                _not_measured("Kravetz", **_EPYC_VM),
            ),
            CostProfile(
                "roth-snp-2025",
                "Estimates for conversions, splits and merges only, everything within them contained; splits and"
                " merges so that 622 and 30 of them are the published 7 % of all conversion cycles",
                _not_measured(
                    "Roth", **_ROTH | dict.fromkeys(("entries_stored", "folios_merged"), _ROTH_SHARE_PER_PAGE)
                ),
                "some 3 million calls that found nothing to do, which are 93 % of the published 1,043,938,460 cycles",
            ),
            CostProfile(
                "misono-snp-2024",
                "Estimates for what an SNP guest sees: exits and the first touch of its memory",
                _not_measured("Misono", **_misono((3.0, 4.4), 12.7)),
            ),
            CostProfile(
                "misono-tdx-2024",
                "Estimates for what a TDX guest sees: exits and the first touch of its memory",
                _not_measured("Misono", **_misono((9.0, 14.6), 16.1)),
            ),
            CostProfile(
                "kalyazin-2024",
                "Estimates for filling a guest_memfd of base pages only",
                _not_measured("Kalyazin", **_KALYAZIN),
            ),
        )
    }
)
"""Every profile by name."""
