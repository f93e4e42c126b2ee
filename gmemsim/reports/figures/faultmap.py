# SPDX-License-Identifier: GPL-2.0-or-later
"""The figure of ``faults``: a bar for every variant and account, divided by what its failures leave."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gmemsim.host.accounts import ACCOUNTS
from gmemsim.reports.faulted import COLOURS, headings
from gmemsim.reports.figures import canvas
from gmemsim.reports.words import account_label, made_by, number
from gmemsim.studies.faults import Faults
from gmemsim.studies.outcomes import OUTCOMES

HEIGHT_OF_BAR, LEAST_HEIGHT = 0.19, 0.5
"""Inches of a bar, and of a panel."""


def write(faults: Faults, path: Path) -> None:
    """Write the figure of ``faults`` to ``path``, whose suffix (``.png`` or ``.svg``) names the format."""
    canvas.save(lambda: draw(faults), path, made_by(faults))


def draw(faults: Faults) -> Figure:
    """A panel for every variant, for a canvas that is set up already."""
    accounts = [name for name in ACCOUNTS if any(row.account == name for row in faults.rows)]
    height = max(LEAST_HEIGHT, HEIGHT_OF_BAR * len(accounts))
    title = f"{faults.title}{'' if faults.complete else ' (partial: interrupted)'}"
    fig, panels = canvas.sheet(title, [height] * max(len(faults.variants), 1))
    names = headings(faults)
    for place, panel in enumerate(panels[: len(faults.variants)]):
        _panel(panel, faults, place, accounts)
        panel.set_title(names[place], loc="left", parse_math=False)
    panels[-1].set_xlabel("failures by account [%]; at the right their number")
    for panel in panels[:-1]:
        panel.tick_params(labelbottom=False)
    _legend(panels[0], faults)
    return fig


def _panel(ax: Axes, faults: Faults, place: int, accounts: list[str]) -> None:
    rows = [row for row in faults.rows if (row.policy, row.ordering) == faults.variants[place]]
    for at, account in enumerate(accounts):
        of_account = [row for row in rows if row.account == account]
        whole, left = sum(row.count for row in of_account), 0.0
        for outcome in OUTCOMES:
            part = sum(row.count for row in of_account if row.outcome == outcome)
            if part:
                ax.barh(at, 100 * part / whole, left=left, height=0.75, color=COLOURS[outcome])
                left += 100 * part / whole
        ax.annotate(number(whole), (100, at), (3, 0), textcoords="offset points", va="center", fontsize=6.5)
    ax.set_yticks(range(len(accounts)), [account_label(name) for name in accounts], parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 100)
    ax.set_ylim(len(accounts) - 0.5, -0.5)


def _legend(ax: Axes, faults: Faults) -> None:
    """The outcomes with their numbers, since one of many thousand is too thin to be seen in a bar."""
    found = {outcome: sum(row.count for row in faults.rows if row.outcome == outcome) for outcome in OUTCOMES}
    handles = [Patch(color=COLOURS[name], label=f"{name}: {number(count)}") for name, count in found.items() if count]
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.25),
        frameon=False,
        ncols=2,
        handlelength=1.0,
        borderaxespad=0,
    )
