# SPDX-License-Identifier: GPL-2.0-or-later
"""The profiles are consistent with the published timings they come from (DOMAIN.md sections 5, 6 and 10).

These are consistency checks of the derivations: a fitted price, multiplied back, proves nothing about the model.
"""

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.host.costs import (
    ASSUMED_GHZ,
    PROFILES,
    ROTH_RESTRUCTURE_CYCLES,
    CostProfile,
    Price,
    _between,
    _disagreeing,
)
from gmemsim.host.work import COUNTERS, PHASES, Work

works = st.builds(Work, **{name: st.integers(0, 10**9) for name in COUNTERS})

RUNS = {  # hugepages, seconds to allocate and free: HVO off, on, on in batches
    "kravetz-e7-2023": (500_000, (4.119, 4.477), (28.973, 36.748), (7.267, 13.199)),
    "kravetz-epyc-vm-2023": (524_288, (2.463, 2.931), (147.6, 149.9), (4.799, 5.273)),
}


def seconds(profile: str, work: Work) -> float:
    return PROFILES[profile].price(work)["total"] / 1e9


def exactly(value: float) -> Any:
    """But for the rounding of floating point."""
    return pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("name", RUNS)
def test_kravetz_derivation_is_consistent(name: str) -> None:
    n, off, unbatched, batched = RUNS[name]
    made = Work(allocations=n, pages_allocated=512 * n)
    assert seconds(name, made) == exactly(off[0])
    optimise = made + Work(optimises=n, vmemmap_pages_freed=7 * n, tlb_flushes=n)
    assert seconds(name, optimise) == exactly(unbatched[0])
    in_batches = made + Work(optimises=n, vmemmap_pages_freed=7 * n)
    assert seconds(name, in_batches) == exactly(batched[0])
    restore = Work(restores=n, vmemmap_pages_restored=7 * n, pages_copied=7 * n, tlb_flushes=n)
    assert seconds(name, restore) == exactly(unbatched[1] - off[1])
    restore_in_batches = Work(vmemmap_pages_restored=7 * n, pages_copied=7 * n)
    assert seconds(name, restore_in_batches) == exactly(batched[1] - off[1])


def cycles(work: Work) -> float:
    """To Roth, at the clock that his profile assumes."""
    return seconds("roth-snp-2025", work) * ASSUMED_GHZ * 1e9


def test_roths_derivation_is_consistent() -> None:
    split = Work(nodes_allocated=8, slots_written=512, entries_stored=512, folios_split=1)
    merge = Work(folios_merged=512, nodes_freed=8)
    assert cycles(split) == pytest.approx(cycles(merge))
    both = sum(((split, merge)[i >= 622] for i in range(622 + 30)), Work())
    assert cycles(both) / 1_043_938_460 == pytest.approx(0.07, rel=1e-12)


def test_a_merge_costs_what_roth_says_or_what_his_shares_say() -> None:
    """A hundred ordinary conversions, or 7 % of all cycles; each is in the other's band, with the clock's."""
    said, shares = (PROFILES[name].figures["folios_merged"] for name in ("default", "roth-snp-2025"))
    assert said.ns is not None
    assert shares.ns is not None
    assert 512 * said.ns * ASSUMED_GHZ == pytest.approx(100 * 320)
    assert 512 * shares.ns * ASSUMED_GHZ == pytest.approx(ROTH_RESTRUCTURE_CYCLES)
    assert said.within == shares.within == pytest.approx(ROTH_RESTRUCTURE_CYCLES / 32_000 * 3.1 / ASSUMED_GHZ)
    low, high = PROFILES["roth-snp-2025"].band(Work(folios_merged=512))
    assert math.sqrt(high / low) == pytest.approx(said.within)


def test_where_roths_figures_do_not_fit_each_other() -> None:
    """What the profile's documentation says of them."""
    assert cycles(Work(conversions=1)) == pytest.approx(320)
    split = cycles(Work(entries_stored=512))
    assert round(split) == round(ROTH_RESTRUCTURE_CYCLES) == 112_079
    assert round(split / 320) == 350  # he says about 100
    share = 652 * 100 * 320 / 1_043_938_460
    assert share == pytest.approx(0.02, abs=0.0005)  # and 7 %
    ordinary = 0.93 * 1_043_938_460 / 320
    assert ordinary == pytest.approx(3.03e6, rel=0.002)
    assert ordinary * 4096 / (1 << 30) == pytest.approx(11.6, abs=0.05)


def test_the_default_takes_the_lower_price_of_a_split() -> None:
    figures = PROFILES["default"].figures
    split, ordinary = figures["entries_stored"].ns, figures["conversions"].ns
    assert split is not None
    assert ordinary is not None
    assert split * 512 == pytest.approx(100 * ordinary)


@pytest.mark.parametrize("hugepages", [8192, 16])
def test_16g_cost_the_same_as_2m_and_as_1g_pages(hugepages: int) -> None:
    size = 16 << 30
    work = Work(allocations=hugepages, pages_allocated=size >> 12, bytes_cleared=size)
    times = PROFILES["default"].price(work)
    assert times["allocate"] == pytest.approx(8192 * 4.119e9 / 500_000)  # as Kravetz's 2M pages
    assert times["clear"] == pytest.approx(size / 13.7)  # and they are cleared, which takes most of the time
    assert times["clear"] > 10 * times["allocate"]


def test_bands_reach_as_far_as_sources_disagree() -> None:
    for name in ("tlb_flushes", "vmemmap_pages_restored", "pages_allocated"):
        a, b = (PROFILES[profile].figures[name] for profile in RUNS)
        assert a.ns is not None
        assert b.ns is not None
        low, high = sorted((a.ns, b.ns))
        assert a.within == b.within == pytest.approx(max(high / low, 1.2))
    split = PROFILES["default"].figures["entries_stored"]
    share = PROFILES["roth-snp-2025"].figures["entries_stored"]
    assert split.ns is not None
    assert share.ns is not None
    assert split.ns * split.within > share.ns > share.ns / share.within > split.ns / split.within


def test_sources_that_agree_have_a_band_of_a_fifth() -> None:
    for one, other, within in ((10.0, 11.0, 1.2), (11.0, 10.0, 1.2), (10.0, 25.0, 2.5), (25.0, 10.0, 2.5)):
        found = _disagreeing({"x": Price(one, "one")}, {"x": Price(other, "other")})
        assert [prices["x"].within for prices in found] == [within, within]


@pytest.mark.parametrize("name", ["bytes_cleared", "bytes_zeroed"])
def test_memory_is_cleared_at_a_rate_between_two_measured_ones(name: str) -> None:
    low, high = PROFILES["default"].band(Work(**{name: 10**9}))
    assert math.sqrt(low * high) == pytest.approx(1e9 / 13.7)  # GB/s, page by page
    assert low == pytest.approx(1e9 / 38)  # in one piece


def test_misonos_figures() -> None:
    """32 GB touched for the first time take 12.7 and 16.1 s more, exits 3 to 4.4 and 9 to 14.6 µs."""
    for name, touch, exits in (("misono-snp-2024", 12.7, (3, 4.4)), ("misono-tdx-2024", 16.1, (9, 14.6))):
        low, high = PROFILES[name].band(Work(pages_accepted=32 << 18))
        assert low / 1e9 == pytest.approx(touch)
        assert high / 1e9 == pytest.approx(touch * 1.0737, rel=1e-3)  # GB, not GiB
        assert PROFILES[name].band(Work(exits=1)) == pytest.approx(tuple(1e3 * us for us in exits))
    assert PROFILES["kalyazin-2024"].price(Work(base_pages_allocated=2))["total"] == 1100


def test_what_has_no_public_figure_is_counted_and_not_priced() -> None:
    work = Work(rmp_updates=512, psmashes=1, demotes=2, kicks=16, conversions=1)
    profile = PROFILES["default"]
    assert profile.not_priced(work) == {"kicks": 16, "rmp_updates": 512, "psmashes": 1, "demotes": 2}
    assert profile.price(work) == profile.price(Work(conversions=1))
    given = profile.with_prices({"rmp_updates": 250.0, "conversions": 1.0})
    assert given.price(work)["rmp"] == 512 * 250
    assert given.price(work)["convert"] == 1
    assert "rmp_updates" not in given.not_priced(work)
    assert given.figures["rmp_updates"].source == "given by the user"
    assert not given.figures["rmp_updates"].extrapolated
    assert profile.not_priced(work)["rmp_updates"] == 512  # the profile itself stays


def test_a_profile_says_what_its_sources_total_has_and_no_run() -> None:
    assert "3 million calls that found nothing to do" in PROFILES["roth-snp-2025"].leaves_out


@given(works, st.sampled_from(sorted(PROFILES)))
def test_a_time_lies_within_its_band(work: Work, name: str) -> None:
    low, high = PROFILES[name].band(work)
    assert low <= PROFILES[name].price(work)["total"] * (1 + 1e-9)
    assert high >= PROFILES[name].price(work)["total"] * (1 - 1e-9)


@pytest.mark.parametrize(("ns", "within"), [(-1.0, 2.0), (1.0, 0.5)])
def test_a_price_that_makes_no_sense_is_refused(ns: float, within: float) -> None:
    with pytest.raises(ValueError, match=r"ns|within"):
        Price(ns, "a test", within=within)


def test_the_default_splits_the_tree_in_the_measured_time() -> None:
    work = Work(slots_written=4161 * 64)
    times = PROFILES["default"].price(work)
    assert times["split"] == times["total"] == pytest.approx(134_000)
    assert PROFILES["default"].band(work)[1] == pytest.approx(367_000)  # with the code as posted


def test_the_default_prices_vmemmap_like_kravetz_on_bare_metal() -> None:
    work = Work(restores=1, vmemmap_pages_restored=4095, pages_copied=4095, tlb_flushes=1, pages_allocated=512)
    default, kravetz = (PROFILES[name].price(work) for name in ("default", "kravetz-e7-2023"))
    assert default == kravetz
    assert default["vmemmap"] > 100 * default["tlb"]  # for 1G the pages outweigh the flush


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_every_figure_names_a_source_and_every_profile_says_it_estimates(profile: CostProfile) -> None:
    assert profile.description.startswith("Estimates")
    assert profile.figures.keys() == set(COUNTERS)
    for counter, figure in profile.figures.items():
        assert figure.ns is None or figure.ns >= 0, counter
        assert figure.within >= 1, counter
        assert figure.source, counter


def test_what_is_contained_in_another_price_costs_nothing_by_itself() -> None:
    contained = [
        price.ns
        for profile in PROFILES.values()
        for price in profile.figures.values()
        if re.search(r": contained in [a-z_]+( and [a-z_]+)?$", price.source)
    ]
    assert len(contained) > 10
    assert not any(contained)
    assert PROFILES["kravetz-e7-2023"].price(Work(optimises=10**6))["total"] == 0


def test_every_count_belongs_to_a_phase() -> None:
    assert tuple(sorted(PHASES)) == tuple(sorted(COUNTERS))
    assert set(PROFILES["default"].price(Work())) == {*PHASES.values(), "total"}


def test_a_profile_without_all_figures_is_refused() -> None:
    figures = {name: Price(1.0, "a test") for name in COUNTERS}
    del figures["restores"]
    with pytest.raises(ValueError, match="profile mine: figures missing or unknown: restores"):
        CostProfile("mine", "Estimates", figures)


def test_a_profile_cannot_be_changed_from_outside() -> None:
    figures = {name: Price(1.0, "a test") for name in COUNTERS}
    profile = CostProfile("mine", "Estimates", figures)
    figures["restores"] = Price(5.0, "a test")
    assert profile.price(Work(restores=1))["total"] == 1.0


@given(works, works)
def test_work_adds_up_count_by_count_and_leaves_its_parts_alone(a: Work, b: Work) -> None:
    before = a + Work()
    total = a + b
    assert a == before
    assert all(getattr(total, name) == getattr(a, name) + getattr(b, name) for name in COUNTERS)
    a.add(b)
    assert a == total


@given(works, works, st.sampled_from(sorted(PROFILES)))
def test_prices_are_linear_and_phases_add_up(a: Work, b: Work, name: str) -> None:
    price = PROFILES[name].price
    both, one, other = price(a + b), price(a), price(b)
    for phase, ns in both.items():
        assert ns == pytest.approx(one[phase] + other[phase])
    assert both.pop("total") == pytest.approx(sum(both.values()))


def test_which_counts_have_a_price_from_another_machine() -> None:
    profile = PROFILES["default"]
    given = profile.with_prices({"slots_written": 2.0})
    work = Work(slots_written=3, nodes_allocated=1)
    assert profile.extrapolated(work) == [
        name for name in ("nodes_allocated", "slots_written") if profile.figures[name].extrapolated
    ]
    assert "slots_written" not in given.extrapolated(work), "a price that was given is nobody else's"
    assert given.extrapolated(Work()) == []


def test_a_price_between_two_is_their_geometric_mean() -> None:
    price = _between(2.5, 10.0, "x")
    assert (price.ns, price.within, price.extrapolated) == (5.0, 2.0, True)
