# SPDX-License-Identifier: GPL-2.0-or-later
"""A budget as bars, one a policy: the kernel memory at the peak by account, or a host's memory by what it is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gmemsim.host.accounts import ACCOUNTS
from gmemsim.reports.budgeted import USES, sentences, title
from gmemsim.reports.figures import canvas
from gmemsim.reports.words import account_colour, account_label, made_by, number
from gmemsim.studies.budget import Budget, BudgetRow
from gmemsim.units import human_size

HEIGHT_OF_ROW, LEAST_HEIGHT = 0.32, 0.9
"""Inches of a bar with its gap, and of the panel at least."""

NOTE_COLUMNS: Final = 105
"""Characters of a line below the bars."""

ROOM_FOR_WORDS: Final = 1.12
"""By how much the axis is longer than the bars, so that what stands at their ends does not leave it."""

USE_COLOURS: Final[Mapping[str, str]] = dict(zip(USES, canvas.OKABE_ITO, strict=False))


def write(budget: Budget, path: Path) -> None:
    """Write the figure of ``budget`` to ``path``, whose suffix (``.png`` or ``.svg``) names the format."""
    canvas.save(lambda: draw(budget), path, made_by(budget))


def draw(budget: Budget) -> Figure:
    """The bars, and below them what decides each."""
    rows = [row for row in budget.rows if row.need is not None]
    notes = [line for sentence in sentences(budget) for line in canvas.wrapped(sentence, NOTE_COLUMNS)]
    partial = "" if budget.complete else " (partial: interrupted)"
    fig, (ax, below) = canvas.sheet(
        f"{budget.question.scenario.title}{partial}",
        [max(LEAST_HEIGHT, HEIGHT_OF_ROW * (len(rows) + 1)), canvas.note_height(notes)],
    )
    ax.set_title("\n".join(canvas.wrapped(title(budget), NOTE_COLUMNS)), loc="left", parse_math=False)
    if rows:
        _bars(ax, budget, rows)
    else:
        canvas.say(ax, "nothing was simulated")
    canvas.write_below(fig, below, notes)
    return fig


def _bars(ax: Axes, budget: Budget, rows: Sequence[BudgetRow]) -> None:
    parts = [_parts(row) for row in rows]
    ends = [sum(part.values()) for part in parts]
    unit, scale = canvas.unit(max(*ends, *(row.high or 0 for row in rows), 1))
    for name in dict.fromkeys(name for part in parts for name in part):
        label, colour = _looks(budget, name)
        before = [sum(list(part.values())[: list(part).index(name)]) / scale if name in part else 0 for part in parts]
        ax.barh(
            range(len(rows)), [part.get(name, 0) / scale for part in parts], 0.7, left=before, color=colour, label=label
        )
    for i, row in enumerate(rows):
        if budget.host is None and row.low is not None and row.high is not None and row.low < row.high:
            ax.plot([row.low / scale, row.high / scale], [i, i], color="black", linewidth=1, marker="|")
        if budget.host is None and row.bytes is not None:
            place = max(ends[i], row.high or 0) / scale, i
            ax.annotate(human_size(row.bytes), place, (3, 0), textcoords="offset points", va="center", fontsize=7)
    if budget.host is not None:
        ax.axvline(budget.host.memory / scale, color="black", linewidth=0.8, linestyle="--")
    ax.set_yticks(range(len(rows)), [_tick(row) for row in rows], parse_math=False)
    ax.invert_yaxis()
    ax.set_xlim(0, ax.get_xlim()[1] * (ROOM_FOR_WORDS if budget.host is None else 1))
    canvas.binary_ticks(ax, across=True)
    ax.set_xlabel(f"{'memory of the host' if budget.host else 'kernel memory at the peak'} [{unit}]")
    canvas.legend(ax)


def _tick(row: BudgetRow) -> str:
    return f"{canvas.short(row.policy, 24)}\n{number(row.guests)} guest{'s' if row.guests != 1 else ''}"


def _parts(row: BudgetRow) -> dict[str, int]:
    assert row.need is not None
    parts = row.need.accounts if row.uses is None else row.uses
    return {name: size for name, size in parts.items() if size}


def _looks(budget: Budget, name: str) -> tuple[str, str]:
    """Label and colour of a part."""
    if budget.host is not None and name in USES and name not in ACCOUNTS:
        return USES[name], USE_COLOURS[name]
    return account_label(name), account_colour(name)
