# SPDX-License-Identifier: GPL-2.0-or-later
"""What a picture of a long run needs of its curves: an axis, fewer points, and the peaks worth a label.

Theory of operation
-------------------
The horizontal axis is simulated time; where all steps happened at one instant it is the number of the step.

A figure has a few hundred columns of pixels, a run may have a million samples.  :func:`decimate` keeps, for every
bucket of the axis and every curve, the samples where the curve is lowest and highest: the picture is the same, and no
peak is lost.

Peaks are chosen by *prominence* (how far one has to go down before one can go higher), so a staircase has one peak and
a comb has many.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt

from gmemsim.results.timeline import Column, Timeline

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

BUCKETS = 400
"""Buckets of the horizontal axis for :func:`decimate`: about two pixels of the PNG each."""

MAX_LABELS = 4
"""Peaks that are numbered at most."""

MIN_PROMINENCE = 0.1
"""A peak is numbered if it stands out by this part of the highest one."""

MIN_DISTANCE = 0.045
"""Numbers stand at least this part of the axis apart, or they would touch."""

UNITS = (("min", 60e9), ("s", 1e9), ("ms", 1e6), ("µs", 1e3), ("ns", 1.0))
"""Units of time and their nanoseconds."""

STEPS = "step"
"""The unit of the horizontal axis where it counts steps instead of time."""


@attrs.frozen(eq=False)
class Axis:
    """The horizontal axis: where samples and events lie on it, where it ends, its label and unit."""

    samples: Floats
    events: Floats
    end: float
    label: str
    unit: str

    def name(self, x: float) -> str:
        """How the text below the figure speaks of ``x``: a step, or a time in engineering units with four digits."""
        if self.unit == STEPS:
            return f"step {x:,.0f}"
        ns = x * dict(UNITS)[self.unit]
        unit, scale = next(((name, scale) for name, scale in UNITS[1:] if round(ns) >= scale), UNITS[-1])
        return f"{ns / scale:,.4g} {unit}" if ns < 1e4 * scale else f"{ns / scale:,.0f} {unit}"


def time_axis(timeline: Timeline) -> Axis:
    """Simulated time, or the number of the step where time does not tell the steps apart."""
    return common_axes([timeline])[0]


def common_axes(timelines: Sequence[Timeline]) -> list[Axis]:
    """The axis of each of ``timelines``, all in one unit: steps if time does not tell those of one apart."""
    ends = [_end_of(timeline) for timeline in timelines]
    if any(end == 0 or _at_one_instant(timeline) for end, timeline in zip(ends, timelines, strict=True)):
        return [_step_axis(timeline) for timeline in timelines]
    unit, scale = next((name, scale) for name, scale in UNITS if max(ends) >= (5 if name == "min" else 1) * scale)
    return [_axis(timeline, end, unit, scale) for end, timeline in zip(ends, timelines, strict=True)]


def _axis(timeline: Timeline, end: int, unit: str, scale: float) -> Axis:
    events = timeline.events.times()
    return Axis(timeline.times() / scale, events / scale, end / scale, f"simulated time [{unit}]", unit)


def _end_of(timeline: Timeline) -> int:
    latest = [time_ns for time_ns, _ in timeline.latest(1)]
    return max(timeline.end_ns, *latest, *(event.time_ns for event in timeline.events[-1:]), 0)


def _at_one_instant(timeline: Timeline) -> bool:
    events = timeline.events
    return len(events) > 1 and events[0].time_ns == events[-1].time_ns


def _step_axis(timeline: Timeline) -> Axis:
    """Step number k from 1: the samples of a step lie at its number, those after the last step behind it."""
    steps = len(timeline.events)
    samples = timeline.owners().astype(np.float64) + 1
    samples[:1] = 0
    label = "step number (no simulated time passes between the steps)"
    return Axis(samples, np.arange(1.0, steps + 1), steps + 1.0, label, STEPS)


def decimate(x: Floats, curves: Sequence[Column], end: float, buckets: int = BUCKETS) -> Integers:
    """Indices, ascending, of samples that look like all of them: of every bucket of the axis the first and
    the last sample, and for every curve the first sample at which it is lowest and at which it is highest.

    ``x`` must ascend and lie in 0 … ``end``.  O(samples x curves).
    """
    if len(x) <= 2 * buckets or end <= 0:
        return np.arange(len(x))
    bucket = np.minimum((x * (buckets / end)).astype(np.int64), buckets - 1)
    first = np.flatnonzero(np.diff(bucket, prepend=-1))
    number = np.cumsum(np.diff(bucket, prepend=-1) != 0) - 1
    keep = [first, np.append(first[1:], len(x)) - 1]
    for curve in curves:
        for extreme in (np.minimum, np.maximum):
            hits = np.flatnonzero(curve == extreme.reduceat(curve, first)[number])
            keep.append(hits[np.flatnonzero(np.diff(number[hits], prepend=-1))])
    return np.unique(np.concatenate(keep))


def prominent(x: Floats, total: Column, end: float) -> list[int]:
    """Indices of the samples with the most prominent peaks of ``total``, in order of time.

    From the highest sample down, each joins the hill of a higher neighbour or starts its own; where two hills
    meet, the lower one ends and its prominence is known.
    """
    kept = decimate(x, [total], end)
    values = total[kept].tolist()
    if not values or max(values) <= 0:
        return []
    hill: dict[int, int] = {}
    prominence: dict[int, int] = {}

    def summit(i: int) -> int:
        while hill[i] != i:
            hill[i] = hill[hill[i]]
            i = hill[i]
        return i

    for i in sorted(range(len(values)), key=lambda i: (-values[i], i)):
        hill[i] = i
        for neighbour in (i - 1, i + 1):
            if neighbour in hill:
                higher, lower = sorted((summit(i), summit(neighbour)), key=lambda s: (-values[s], s))
                if higher != lower:
                    prominence[lower] = values[lower] - values[i]
                    hill[lower] = higher
    prominence[summit(0)] = max(values)
    chosen: list[int] = []
    for i in sorted(prominence, key=lambda i: (-prominence[i], i)):
        apart = all(abs(x[kept[i]] - x[other]) >= MIN_DISTANCE * end for other in chosen)
        if apart and prominence[i] >= MIN_PROMINENCE * max(values) and len(chosen) < MAX_LABELS:
            chosen.append(int(kept[i]))
    return sorted(chosen)


def spikes(x: Floats, total: Column, height: float) -> Integers:
    """Indices of samples that no area shows: the next one, lower by ``height`` or more, has the same time."""
    return np.flatnonzero((np.diff(x) == 0) & (np.diff(total) <= -height))
