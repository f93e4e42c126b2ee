# SPDX-License-Identifier: GPL-2.0-or-later
"""The strip of calls: a row each for conversions to shared, to private, those that changed nothing, and failures.

Failures have a row for every errno, and for ENOMEM every account whose memory could not be had.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from gmemsim.reports.figures import canvas
from gmemsim.reports.figures.curves import BUCKETS, Axis, Floats, Integers
from gmemsim.reports.words import failed_account
from gmemsim.results.timeline import Events, Label

Flags = npt.NDArray[np.bool_]

FEW = 40
"""Up to so many marks in a row of the strip keep their shape; more become bars, which are as wide as a bucket."""

MOST_FAILURES = 4
"""Rows of failures; the rarer ones share the last."""

BAR = 0.55
"""Height of the bars of a row with many marks, of the row's."""

ROW_HEIGHT = 0.17
"""Inches of a row."""

SHARED, PRIVATE, UNCHANGED, FAILED = "to shared", "to private", "unchanged", "failed"

MARKERS = {SHARED: "v", PRIVATE: "^", UNCHANGED: "o", FAILED: "x"}


@attrs.frozen(eq=False)
class StripRow:
    """A row: its ``name``, what stands beside its number in ``words``, and the indices of its ``events``."""

    name: str
    words: str
    events: Integers


def rows(events: Events) -> list[StripRow]:
    """The rows that ``events`` need; conversions both ways always have one.

    A run may have a million events, which share few labels: only these are looked at one by one.
    """
    labels, label = events.labels()
    found, first, number = np.unique(label, return_index=True, return_counts=True)
    kinds = {int(i): kind_of(labels[i]) for i in found[np.argsort(first)]}
    counts = dict(zip(found.tolist(), number.tolist(), strict=True))
    failed: Counter[tuple[str, str]] = Counter()
    for i, kind in kinds.items():
        if kind[0] == FAILED:
            failed[kind] += counts[i]
    failures = [kind for kind, _ in failed.most_common()]
    common = failures if len(failures) <= MOST_FAILURES else failures[: MOST_FAILURES - 1]
    same = unchanged(events)
    wanted = [(SHARED, ""), (PRIVATE, ""), *([(UNCHANGED, "")] if same.any() else []), *common]
    place = {kind: i for i, kind in enumerate(wanted)}
    rest = len(wanted)
    of_label = np.full(len(labels), -1)
    for i, kind in kinds.items():
        of_label[i] = place.get(kind, rest if kind[0] == FAILED else -1)
    of = np.where(same, place.get((UNCHANGED, ""), -1), of_label[label])
    if rest in of:
        wanted.append((FAILED, "other"))
    return [StripRow(name, words, np.flatnonzero(of == i)) for i, (name, words) in enumerate(wanted)]


def kind_of(label: Label) -> tuple[str, str]:
    """The row of events of this ``label`` that changed something, and of a failure its errno and account.

    ``("", "")`` of what has none.
    """
    if label.errno is not None:
        return FAILED, " ".join(filter(None, (label.errno, failed_account(label))))
    if label.kind != "convert":
        return "", ""
    return SHARED if "shared" in label.detail else PRIVATE, ""


def unchanged(events: Events) -> Flags:
    """Which of ``events`` are conversions that succeeded and found every page as it was to be."""
    labels, label = events.labels()
    converts = [label.kind == "convert" and label.errno is None and label.works for label in labels]
    same: Flags = np.array(converts, dtype=np.bool_)[label] & (events.work("conversions") == 0)
    return same


def height(strip: Sequence[StripRow]) -> float:
    """Inches that :func:`draw` needs."""
    return ROW_HEIGHT * len(strip)


def busy(x: Floats, end: float) -> list[tuple[float, float]]:
    """Where on an axis up to ``end`` something is at ``x``, as beginnings and lengths: whole buckets, joined.

    So a gap is drawn where nothing happened for a bucket at least, and nowhere else.
    """
    width = end / BUCKETS
    bucket = np.unique(np.minimum((x / width).astype(np.int64), BUCKETS - 1))
    runs = np.split(bucket, np.flatnonzero(np.diff(bucket) > 1) + 1)
    return [(float(run[0]) * width, len(run) * width) for run in runs]


def draw(ax: Axes, above: Axes, axis: Axis, strip: Sequence[StripRow]) -> None:
    """Draw the rows with their numbers at the right; where there are few, faint lines lead up through ``above``."""
    for place, row in enumerate(strip):
        x = axis.events[row.events]
        bucket = np.unique((x * (BUCKETS / axis.end)).astype(np.int64), return_index=True)[1]
        if len(bucket) <= FEW:
            marks: dict[str, Any] = {"linestyle": "none", "markersize": 4, "markeredgewidth": 0.8, "color": canvas.INK}
            ax.plot(x[bucket], np.full(len(bucket), -place), marker=MARKERS[row.name], **marks)
            top = above.get_xaxis_transform()
            above.vlines(x[bucket], 0, 1, transform=top, color=canvas.INK, lw=0.3, ls=":", zorder=0)
        else:
            ax.broken_barh(busy(x, axis.end), (-place - BAR / 2, BAR), color=canvas.INK, linewidth=0)
        ax.annotate(
            f"{len(x):,} × {row.words}".rstrip(),
            (1, -place),
            (4, 0),
            xycoords=ax.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    ax.set_yticks([-place for place in range(len(strip))], [row.name for row in strip])
    ax.set_ylim(0.6 - len(strip), 0.6)
    ax.tick_params(axis="both", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
