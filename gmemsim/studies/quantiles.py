# SPDX-License-Identifier: GPL-2.0-or-later
"""A quantile from a sample, with a confidence interval that assumes nothing about the distribution.

Theory of operation
-------------------
Of ``n`` independent values, the number that lie below the quantile ``q`` is binomial with ``n`` and ``q``, whatever
their distribution.  So the order statistics that enclose the quantile with a wanted confidence follow from the
binomial distribution alone (David and Nagaraja, Order Statistics, section 7.1).  Each end misses with half of what the
confidence leaves.  With few values no order statistic is high enough: then there is no upper end, and :func:`needed`
says how many values it takes.  For a distribution that is not continuous the interval holds at least so often.

What may live here: arithmetic of samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import attrs

CONFIDENCE: Final = 0.95
"""How often the interval contains the quantile, at least."""


@attrs.frozen
class Quantile:
    """The ``value`` of a sample's quantile, and the ends ``low`` and ``high`` of its interval.

    ``None``: the sample is too small for that end.
    """

    value: int
    low: int | None
    high: int | None


def quantile(sample: Sequence[int], q: float, confidence: float = CONFIDENCE) -> Quantile:
    """The ``q`` quantile (0 < q < 1) of ``sample`` with its interval of ``confidence`` (default: 0.95).

    The value is the smallest of the sample that at least the part ``q`` of it does not exceed.  ``ValueError`` without
    a sample, or for a ``q`` that is no part.  O(n log n).

    >>> quantile(range(1, 101), 0.5)
    Quantile(value=50, low=40, high=61)
    >>> quantile([7, 9], 0.999)
    Quantile(value=9, low=9, high=None)
    """
    check_part(q)
    if not sample:
        raise ValueError("found no sample, expected at least one value")
    ordered = sorted(sample)
    n, miss = len(ordered), (1 - confidence) / 2
    below = _cumulative(n, q)  # below[k]: at most k values lie below the quantile
    low = next((k for k in range(n, 0, -1) if below[k - 1] <= miss), None)
    high = next((k for k in range(1, n + 1) if below[k - 1] >= 1 - miss), None)
    value = ordered[math.ceil(q * n * (1 - 1e-15)) - 1]
    return Quantile(value, None if low is None else ordered[low - 1], None if high is None else ordered[high - 1])


def needed(q: float, confidence: float = CONFIDENCE) -> int:
    """How many values it takes for the interval of the ``q`` quantile to have an upper end.

    ``confidence`` is a part of 1 (default: :data:`CONFIDENCE`).  ``ValueError`` unless ``q`` lies between 0 and 1.

    >>> needed(0.999), needed(0.5)
    (3688, 6)
    """
    check_part(q)
    return math.ceil(math.log((1 - confidence) / 2) / math.log(q))


def check_part(q: float) -> None:
    """``ValueError`` unless ``q`` is between 0 and 1."""
    if not 0 < q < 1:
        raise ValueError(f"found the quantile {q:g}, expected a number between 0 and 1 such as 0.999")


def _cumulative(n: int, q: float) -> list[float]:
    """The probabilities that a binomial variable with ``n`` and ``q`` is at most 0, 1, … n."""
    log_q, log_p, whole = math.log(q), math.log1p(-q), math.lgamma(n + 1)
    sums, total = [], 0.0
    for k in range(n + 1):
        log_choose = whole - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        total += math.exp(log_choose + k * log_q + (n - k) * log_p)
        sums.append(total)
    return sums
