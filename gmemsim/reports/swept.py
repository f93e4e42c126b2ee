# SPDX-License-Identifier: GPL-2.0-or-later
"""How the metrics of a sweep are worded, on the screen and in a heatmap."""

from __future__ import annotations

from gmemsim.reports.words import ESTIMATE, is_estimate, is_modelled_time, modelled_time, number
from gmemsim.units import human_duration, human_size


def amount(metric: str, value: float | None) -> str:
    """``value`` of ``metric`` for people: bytes, durations and counts."""
    if value is None:
        return "refused"
    if metric.endswith("_bytes") or metric.split(".")[-1] in ("memory", "backing"):
        return human_size(value)
    if is_modelled_time(metric):
        return modelled_time(value)
    if "_ns" in metric:
        return human_duration(value)
    return number(int(value)) if value == int(value) else f"{value:.4g}"


def label(metric: str) -> str:
    """The metric's name, marked if it is an estimate."""
    estimated = is_modelled_time(metric) or any(map(is_estimate, metric.split(".")))
    return f"{ESTIMATE} {metric}" if estimated else metric
