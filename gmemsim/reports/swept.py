# SPDX-License-Identifier: GPL-2.0-or-later
"""How the metrics of a sweep are worded, on the screen and in a heatmap."""

from __future__ import annotations

import math

from gmemsim.reports.words import ESTIMATE, is_estimate, is_modelled_time, modelled_time, number
from gmemsim.units import human_duration, human_size, rounded


def amount(metric: str, value: float | None) -> str:
    """``value`` of ``metric`` for people: bytes, durations and counts."""
    if value is None:
        return "refused"
    if is_size(metric):
        return human_size(value)
    if is_modelled_time(metric):
        return modelled_time(value)
    if "_ns" in metric:
        return human_duration(value)
    return number(int(value)) if value == int(value) else f"{value:.4g}"


def is_size(metric: str) -> bool:
    """Whether ``metric``, or a key that is varied, is a number of bytes."""
    return metric.endswith("_bytes") or metric.split(".")[-1] in ("memory", "backing")


def spread(metric: str, mean: float | None, deviation: float | None) -> str:
    """``"621.7 ± 1.0"``: the deviation with two digits, the mean as far as those reach."""
    if mean is None or deviation is None:
        return amount(metric, mean)
    if not deviation or amount(metric, 1000.0) != number(1000):  # the same in all runs, or with a unit
        return f"{amount(metric, mean)} ± {amount(metric, deviation)}"
    places = _places(deviation)
    return f"{mean:,.{places}f} ± {deviation:,.{places}f}"


def _places(deviation: float) -> int:
    """Decimal places that show two digits of ``deviation``."""
    return max(0, 1 - math.floor(math.log10(rounded(deviation, 2))))


def between(metric: str, interval: tuple[float, float] | None, deviation: float | None) -> str:
    """``"621.2 to 622.1"``, as precise as :func:`spread`; nothing where there is no interval."""
    if interval is None or deviation is None:
        return ""
    if not deviation or amount(metric, 1000.0) != number(1000):
        return " to ".join(amount(metric, end) for end in interval)
    places = _places(deviation)
    return " to ".join(f"{end:,.{places}f}" for end in interval)


def label(metric: str) -> str:
    """The metric's name, marked if it is an estimate."""
    estimated = is_modelled_time(metric) or any(map(is_estimate, metric.split(".")))
    return f"{ESTIMATE} {metric}" if estimated else metric
