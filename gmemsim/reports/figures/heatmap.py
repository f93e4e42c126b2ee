# SPDX-License-Identifier: GPL-2.0-or-later
"""A sweep of one or two keys as a heatmap, a panel for every metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from gmemsim.reports.figures import canvas
from gmemsim.reports.filesets import MOST_KEYS
from gmemsim.reports.swept import amount, is_size, label
from gmemsim.reports.words import made_by
from gmemsim.studies.sweep import Sweep

LABELLED = 14
"""Columns of a heatmap up to which its fields have their value written in."""

MOST_TICKS = 24
"""Labels of an axis at most."""

LOGARITHMIC = 50
"""A metric whose largest value is more than so many times its smallest is coloured on a logarithmic scale."""

DARK = 0.55
"""Fields of this part of the colour scale or less have white figures."""

INCHES_OF_CHARACTER, INCHES_ACROSS = 0.06, 4.5
"""About how wide a letter of a tick's label is, and a heatmap."""

SLANTED_HEIGHT = 0.8
"""Inches that labels take which have no room side by side."""

HEIGHT_OF_ROW, LEAST_HEIGHT, MOST_HEIGHT = 0.24, 0.5, 5.0
"""Inches of a row of a heatmap, and of all of them."""


def write(sweep: Sweep, path: Path) -> None:
    """Write the heatmap to ``path``, whose suffix (``.png`` or ``.svg``) names the format."""
    canvas.save(lambda: draw(sweep), path, made_by(sweep))


def draw(sweep: Sweep) -> Figure:
    """A heatmap for every metric: the last key to the right, the one before it downwards.  At most two keys."""
    if not 0 < len(sweep.variations) <= MOST_KEYS:
        raise ValueError(f"a heatmap shows one key or two, not {len(sweep.variations)}")
    across = sweep.variations[-1]
    down = sweep.variations[0] if len(sweep.variations) == 2 else None
    rows = len(down.values) if down else 1
    height = min(max(LEAST_HEIGHT, HEIGHT_OF_ROW * rows), MOST_HEIGHT)
    title = f"{sweep.title}{' (partial: interrupted)' if sweep.partial else ''}"
    below = SLANTED_HEIGHT if _slanted(across.values) else 0.0
    fig, panels = canvas.sheet(title, [height + 0.5 + below] * len(sweep.metrics))
    for i, (ax, metric) in enumerate(zip(panels, sweep.metrics, strict=True)):
        values = np.full((rows, len(across.values)), np.nan)
        for row in sweep.rows:
            place = (down.values.index(row.values[0]) if down else 0, across.values.index(row.values[-1]))
            result = row.results[i]
            values[place] = np.nan if result is None else result
        _panel(fig, ax, metric, values)
        _ticks(ax, across.values, down.values if down else ())
        ax.set_xlabel(across.key, parse_math=False)
        ax.set_ylabel(down.key if down else "", parse_math=False)
    return fig


def _panel(fig: Figure, ax: Axes, metric: str, values: npt.NDArray[np.float64]) -> None:
    ax.set_title(label(metric), loc="left", fontsize=8, parse_math=False)
    ax.set_facecolor("#dddddd")  # where a variant was refused or not run
    if np.isnan(values).all():
        canvas.say(ax, "nothing was simulated")
        ax.set_xlim(-0.5, values.shape[1] - 0.5)
        ax.set_ylim(values.shape[0] - 0.5, -0.5)
        return
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    norm = LogNorm(low, high) if 0 < LOGARITHMIC * low < high else Normalize(low, high if high > low else low + 1)
    image = ax.imshow(values, cmap="viridis", norm=norm, aspect="auto", interpolation="nearest")
    bar = fig.colorbar(image, ax=ax, pad=0.01, fraction=0.05, format=FuncFormatter(lambda v, _: amount(metric, v)))
    bar.minorticks_off()
    if high == low:
        bar.set_ticks([low])
    elif is_size(metric) and isinstance(norm, LogNorm):
        bar.set_ticks((2 ** canvas.binary_steps(math.log2(low), math.log2(high))).tolist())
    elif is_size(metric):
        bar.set_ticks(canvas.binary_steps(low, high).tolist())
    if values.shape[1] > LABELLED or values.shape[0] * HEIGHT_OF_ROW > MOST_HEIGHT:
        return
    size = 6.5 if values.shape[1] <= LABELLED // 2 else 4.5
    for (row, column), value in np.ndenumerate(values):
        known = not np.isnan(value)
        colour = "white" if known and norm(value) <= DARK else "black"
        words = amount(metric, value) if known else "–"
        ax.text(column, row, words, ha="center", va="center", fontsize=size, color=colour)


def _ticks(ax: Axes, across: Sequence[str], down: Sequence[str]) -> None:
    """Labels of both axes, as many as have room."""
    shown = range(0, len(across), -(-len(across) // MOST_TICKS))
    turn: dict[str, Any] = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"} if _slanted(across) else {}
    ax.set_xticks(shown, [_word(across[i]) for i in shown], parse_math=False, **turn)
    step = -(-len(down) // MOST_TICKS) or 1
    ax.set_yticks(range(0, len(down), step), [_word(value) for value in down[::step]], parse_math=False)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _slanted(values: Sequence[str]) -> bool:
    """Whether labels of ``values`` have no room side by side."""
    shown = values[:: -(-len(values) // MOST_TICKS)]
    return max(len(_word(value)) + 1 for value in shown) * INCHES_OF_CHARACTER * len(shown) > INCHES_ACROSS


def _word(value: str) -> str:
    """``value`` as a label; of a policy its name."""
    return canvas.short(value.partition("=")[0], 18)
