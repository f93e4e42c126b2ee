# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gmemsim.reports.figures import curves

CURVES = st.lists(st.tuples(st.integers(0, 3), st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=200)


@given(CURVES, st.integers(1, 20))
def test_decimation_keeps_the_extremes_of_every_bucket(rows: list[tuple[int, int, int]], buckets: int) -> None:
    x = np.cumsum([float(wait) for wait, _, _ in rows])
    end = max(float(x[-1]), 1.0)
    lines = [np.array([row[i] for row in rows]) for i in (1, 2)]
    kept = curves.decimate(x, lines, end, buckets)
    assert sorted(set(kept.tolist())) == kept.tolist()
    bucket = np.minimum((x * (buckets / end)).astype(int), buckets - 1)
    for number in set(bucket.tolist()):
        inside = np.flatnonzero(bucket == number)
        chosen = [i for i in kept if bucket[i] == number]
        assert inside[0] in chosen
        assert inside[-1] in chosen
        for curve in lines:
            assert max(curve[chosen]) == max(curve[inside])
            assert min(curve[chosen]) == min(curve[inside])
    assert len(kept) <= 6 * buckets


def test_a_million_samples_become_a_few_thousand_points() -> None:
    x = np.linspace(0, 1, 1_000_000)
    curve = np.random.default_rng(1).integers(0, 1000, len(x))
    curve[654_321] = 10**9
    kept = curves.decimate(x, [curve], 1.0)
    assert 654_321 in kept
    assert len(kept) <= 4 * curves.BUCKETS


def peaks(*total: int) -> list[int]:
    return curves.prominent(np.arange(float(len(total))), np.array(total), float(len(total)))


def test_a_staircase_has_one_peak_and_a_comb_has_many() -> None:
    assert peaks(0, 1, 2, 3, 4) == [4]
    assert peaks(0, 5, 0, 6, 0, 7, 0) == [1, 3, 5]


def test_small_dents_make_no_peak() -> None:
    assert peaks(0, 100, 95, 99, 95, 98, 0) == [1]


def test_only_the_most_prominent_peaks_are_chosen() -> None:
    assert peaks(0, 90, 0, 50, 0, 80, 0, 60, 0, 70, 0) == [1, 5, 7, 9]


def test_a_plateau_peaks_where_it_begins() -> None:
    assert peaks(0, 7, 7, 7, 0) == [1]
    assert peaks(3, 3, 3) == [0]


def test_peaks_that_stand_too_close_share_one_number() -> None:
    x = np.array([0.0, 0.5, 0.51, 0.52, 1.0])
    assert curves.prominent(x, np.array([0, 9, 0, 8, 0]), 1.0) == [1]


def test_nothing_has_no_peak() -> None:
    assert peaks() == []
    assert peaks(0, 0) == []
