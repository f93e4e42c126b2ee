# SPDX-License-Identifier: GPL-2.0-or-later
"""Costs: counted work in, modelled time out.

Theory of operation
-------------------
A :class:`~gmemsim.host.work.Work` says what a step did, in counts that are exact.  A
:class:`CostProfile` has a price for each count and multiplies.  **Every time is an estimate**: the published
timings are few, come from other kernels and machines, and mostly concern 2M hugepages.  So each price is a
:class:`Price` that names its source and says whether it has been stretched beyond what was measured; a price
of 0 says why, too.

A profile that bears the name of a source prices what that source measured and nothing else, so that its
totals can be compared with the source's own.  ``default`` puts the sources together and covers the most; as
Roth's work per page contains the tree's, it counts that twice (some 3 % of a split).  It takes the lower of the two
prices of a split that his figures allow (:data:`ROTH_RESTRUCTURE_CYCLES`), ``roth-snp-2025`` the one that his measured
shares come to.

Kravetz's runs give seconds for allocating and freeing a number of 2M hugepages in three ways (HVO off, on, on
in batches), and the prices follow from their differences; :func:`_kravetz` is that derivation.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from gmemsim.host.vmemmap import VmemmapLayout
from gmemsim.host.work import COUNTERS, PHASES, Work


@attrs.frozen
class Price:
    """The price of one unit of a count, in ns.

    ``extrapolated``: it was measured on another machine, size or operation than the one it is used for, or
    not at all.
    """

    ns: float
    source: str
    extrapolated: bool = True


def _copy(figures: Mapping[str, Price]) -> Mapping[str, Price]:
    return dict(figures)


@attrs.frozen
class CostProfile:
    """A price for every count; ``ValueError`` if one is missing or unknown."""

    name: str
    description: str
    figures: Mapping[str, Price] = attrs.field(converter=_copy)

    @figures.validator
    def _check_figures(self, _: object, figures: Mapping[str, Price]) -> None:
        if figures.keys() != set(COUNTERS):
            wrong = sorted(figures.keys() ^ set(COUNTERS))
            raise ValueError(f"profile {self.name}: figures missing or unknown: {', '.join(wrong)}")

    def price(self, work: Work) -> dict[str, float]:
        """Modelled time of ``work`` in ns, an estimate: by phase, and their ``"total"``."""
        times = dict.fromkeys(PHASES.values(), 0.0)
        for counter, phase in PHASES.items():
            times[phase] += getattr(work, counter) * self.figures[counter].ns
        times["total"] = sum(times.values())
        return times


def _not_measured(source: str, **figures: Price) -> dict[str, Price]:
    """``figures``, and for every other count a price of 0 because ``source`` has none."""
    return {name: Price(0.0, f"not measured by {source}, not priced") for name in COUNTERS} | figures


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
        "allocations": Price(
            ns_each(off[0]),
            f"{source}: allocating with HVO off; taking from the pool and clearing are not published",
        ),
    }


_E7 = _kravetz("8-socket E7-8895", 500_000, (4.119, 4.477), (28.973, 36.748), (7.267, 13.199))
_EPYC_VM = _kravetz("VM of 252 vCPUs on EPYC", 524_288, (2.463, 2.931), (147.6, 149.9), (4.799, 5.273))

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

PAGES_PER_2M = 512
"""Base pages of a 2M hugepage on x86."""

_ROTH_SOURCE = f"Roth, 12 Jul 2025, SNP guest on 2M HugeTLB (DOMAIN.md section 6), at an assumed {ASSUMED_GHZ} GHz"
_RESTRUCTURE_PER_PAGE = Price(
    ORDINARY_CONVERSION_CYCLES * RESTRUCTURE_FACTOR / PAGES_PER_2M / ASSUMED_GHZ,
    f"{_ROTH_SOURCE}: 100 ordinary conversions by 512 pages, everything contained;"
    " his 7 % of all cycles for 622 splits and 30 merges would make it 350; 1G is extrapolated",
)
_ROTH_SHARE_PER_PAGE = Price(
    ROTH_RESTRUCTURE_CYCLES / PAGES_PER_2M / ASSUMED_GHZ,
    f"{_ROTH_SOURCE}: 7 % of 1,043,938,460 cycles by 622 splits and 30 merges of 512 pages, everything contained;"
    " that is 350 ordinary conversions, where he says about 100; other sizes and policies are extrapolated by the page",
)
_ROTH = {
    "conversions": Price(
        ORDINARY_CONVERSION_CYCLES / ASSUMED_GHZ, f"{_ROTH_SOURCE}: 320 cycles; the zap of a page is contained"
    ),
    "entries_stored": _RESTRUCTURE_PER_PAGE,
    "folios_merged": _RESTRUCTURE_PER_PAGE,
    "folios_split": Price(0.0, f"{_ROTH_SOURCE}: contained in entries_stored"),
    "zapped_pages": Price(0.0, "no published figure beyond the one page that is contained in conversions"),
}

SPLIT_18_TO_0_NS = 134_000
"""Median of splitting order 18 to 0 with the RFC's code in user space, marks written only where there are
any; as posted it takes 367 µs (the notes to the golden traces, number 5)."""

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
        "134 µs for splitting order 18 to 0 (266,304 slots) with the kernel's lib/xarray.c in user space",
    ),
    "bytes_zeroed": Price(0.0, "no published figure for zeroing at merges: not priced"),
    "rcu_synchronisations": Price(10_000_000.0, "assumed: one grace period of 10 ms, the default of host.rcu_grace"),
}

PROFILES: Mapping[str, CostProfile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            CostProfile(
                "default",
                "Estimates put together: vmemmap, flushes and hugepages from Kravetz's bare-metal run,"
                " the tree from a user-space measurement, conversions and per-page work from Roth",
                _E7 | _ROTH | _LIBRARY,
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
            ),
        )
    }
)
"""Every profile by name."""
