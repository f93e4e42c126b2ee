# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of a sweep come in any order, as workers finish: what they add up to does not depend on it."""

from __future__ import annotations

import statistics
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmemsim.studies.gather import Folding
from gmemsim.studies.sweep import Plan, SweepRow, Variation

figures = st.integers(0, 2**60) | st.floats(-1e12, 1e12)


def folded(results: list[float]) -> SweepRow:
    plan = Plan("", "x", [Variation("seed", tuple(map(str, range(len(results)))))], ["m"])
    folding = Folding(plan, "seed")
    for result in results:
        folding.add(SweepRow(("0",), (result,)))
    (row,) = folding.rows()
    return row


@settings(deadline=None)
@given(st.lists(figures, min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_means_are_those_of_any_order(one: list[float], random: Random) -> None:
    other = random.sample(one, len(one))
    row = folded(one)
    assert row == folded(other)
    assert row.results == (float(sum(map(Fraction, one)) / len(one)),)
    (deviation,) = row.deviations
    assert deviation == pytest.approx(statistics.stdev(map(Fraction, one)), rel=1e-12)
