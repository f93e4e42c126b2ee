# SPDX-License-Identifier: GPL-2.0-or-later
"""What all figures share: paper and colours, reproducible files, axes in units that people read, legends.

Figures are built from :class:`matplotlib.figure.Figure` (no pyplot, no global state) under matplotlib's default style
and saved without dates or versions: the same run gives the same bytes.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import blended_transform_factory

from gmemsim.reports.figures.curves import STEPS, Axis, Floats

WIDTH = 6.5
"""Inches: the text width of a letter or A4 page."""

FOOT = 0.12
"""Inches at the foot of a figure for what made it."""

DPI = 200
"""Pixels an inch of the PNG."""

PLACES = 6
"""Decimals of a panel's place in parts of the figure: a thousandth of a pixel."""

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
"""Eight colours that people with any colour vision tell apart (Okabe, Ito: Color Universal Design, 2008)."""

LINE_COLOURS = tuple("#222222" if colour == "#F0E442" else colour for colour in OKABE_ITO)
"""The same for lines, where yellow is too pale."""

MARK = "#D55E00"
"""What a figure without accounts marks: neither a size's colour (:mod:`gmemsim.reports.figures.sizes`) nor grey."""

INK = "#222222"
"""Lines and marks that mean no account, no size and no policy."""

NOTE_COLUMNS = 118
"""Characters of a line below a figure."""

DARK_PART = 0.9
"""The part of the viridis gradient that is dark enough for lines on white."""

WIDE_LINES = "What is over within a line's width looks as wide as the line; a line like a band goes up and down in it."
"""What a figure says whose lines may have narrow pulses, or very many."""

MOST_POWERS = 7
"""Ticks of a logarithmic axis at most."""

STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "svg.hashsalt": "gmemsim",
}
"""On top of matplotlib's defaults; the hash salt makes the ids inside an SVG the same every time."""


@contextmanager
def paper() -> Iterator[None]:
    """Matplotlib's default style with ours on top, whatever the user's own configuration says."""
    with matplotlib.style.context(["default", STYLE]), warnings.catch_warnings():
        # A title may be in a script that the font lacks; boxes in the picture say so better than stderr.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def save(draw: Callable[[], Figure], path: Path, made: str = "") -> None:
    """Write the figure that ``draw`` makes to ``path``, whose suffix (``.png`` or ``.svg``) names the format.

    ``made`` is said at its foot and in the file's metadata: what made the results (default: nothing).
    """
    put(finished(draw, made), path, made)


def finished(draw: Callable[[], Figure], made: str = "") -> Figure:
    """The figure that ``draw`` makes, with ``made`` at its foot (default: nothing), for :func:`put`."""
    with paper():
        figure = draw()
        if made:
            sign(figure, made)
        _settle(figure)
    return figure


def put(figure: Figure, path: Path, made: str = "") -> None:
    """Write ``figure``, which is :func:`finished`, to ``path``; ``made`` goes into the metadata (default: nothing)."""
    form = path.suffix.lower().lstrip(".")
    metadata: dict[str, str | None] = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
    if made:
        metadata["Description"] = made
    with paper():
        figure.savefig(path, format=form, dpi=DPI, metadata=metadata)


def sign(figure: Figure, made: str) -> None:
    """Write ``made`` below everything else that is on ``figure``."""
    foot = FOOT / figure.get_size_inches()[1]
    layout = figure.get_layout_engine()
    if isinstance(layout, ConstrainedLayoutEngine):
        layout.set(rect=(0, foot, 1, 1 - foot))
    figure.text(0.99, 0.3 * foot, made, ha="right", va="bottom", fontsize=5, color="#777777", parse_math=False)


def _settle(fig: Figure) -> None:
    """Lay the figure out once and for all, in whole numbers: the solver's last digits are not always the same.

    Without an engine: one that is called "none" would have the whole figure drawn once more before it is saved.
    """
    engine = fig.get_layout_engine()
    if engine is None:
        return
    engine.execute(fig)
    fig.set_layout_engine(None)
    for ax in fig.axes:
        left, bottom, width, height = (round(edge, PLACES) for edge in ax.get_position(original=True).bounds)
        ax.set_position((left, bottom, width, height))


def sheet(title: str, heights: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """A figure of the page's width with ``title`` and panels of these ``heights`` (inches) below each other."""
    fig = page(title, sum(heights))
    panels = fig.subplots(len(heights), 1, height_ratios=list(heights), squeeze=False)
    return fig, [panel for (panel,) in panels]


def page(title: str, height: float) -> Figure:
    """A figure of the page's width with ``title``, and room for ``height`` inches below it."""
    fig = Figure(figsize=(WIDTH, height + 1.0), layout="constrained")
    fig.suptitle(textwrap.fill(title, 72), x=0.01, ha="left", fontsize=9.5, fontweight="bold", parse_math=False)
    return fig


def along(axis: Axis, panels: Sequence[Axes]) -> None:
    """Give ``panels``, one below the other, the horizontal ``axis``; the lowest one carries its label."""
    first, last = panels[0], panels[-1]
    for panel in panels[1:]:
        panel.sharex(first)
    margin = 0.012 * axis.end
    first.set_xlim(-margin, axis.end + margin)
    for panel in panels[:-1]:
        panel.tick_params(labelbottom=False)
    last.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=axis.unit == STEPS))
    last.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    last.set_xlabel(axis.label)


def write_below(fig: Figure, ax: Axes, notes: Sequence[str]) -> None:
    """Use the last panel for ``notes``, a line each, from the left edge of the page."""
    ax.set_axis_off()
    ax.text(
        0.01,
        1,
        "\n".join(notes),
        transform=blended_transform_factory(fig.transFigure, ax.transAxes),
        va="top",
        fontsize=7,
        linespacing=1.4,
        parse_math=False,
        in_layout=False,
    )


def wrapped(text: str, columns: int) -> list[str]:
    """``text`` in lines of at most so many ``columns``."""
    return textwrap.wrap(text, columns)


def note_height(notes: Sequence[str]) -> float:
    """Inches that :func:`write_below` needs."""
    return 0.06 + 0.17 * max(len(notes), 1)


def counts_on_log(ax: Axes, highest: int) -> None:
    """A vertical axis for counts from 0 to ``highest``: 0, then powers of two, at most :data:`MOST_POWERS`."""
    top = max(highest, 1)
    step = max(1, -(-(top.bit_length() + 1) // MOST_POWERS))
    ax.set_yscale("symlog", linthresh=1, linscale=1, base=2)
    ax.set_ylim(0, 3 * top)
    ax.yaxis.set_major_locator(FixedLocator([0, *(2.0**k for k in range(0, top.bit_length() + 1, step))]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    ax.grid(axis="y", linewidth=0.3, color="#cccccc")


def binary_steps(low: float, high: float, most: int = 6) -> Floats:
    """Multiples of a power of two (a half, a quarter, …) from ``low`` to ``high``, about ``most`` (default: 6)."""
    step = 2.0 ** np.ceil(np.log2(max(high - low, 1e-9) / most))
    steps: Floats = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    return steps


def binary_ticks(
    ax: Axes, most: int = 6, *, across: bool = False, name: Callable[[float], str] = "{:,.10g}".format
) -> None:
    """Ticks at multiples of a power of two (a half, a quarter, …), about ``most`` (default: 6), of the vertical axis.

    ``across`` (default: no): of the horizontal one.  ``name`` words a tick (default: as a number).
    """
    axis, (low, high) = (ax.xaxis, ax.get_xlim()) if across else (ax.yaxis, ax.get_ylim())
    axis.set_ticks(binary_steps(low, high, most))
    axis.set_major_formatter(FuncFormatter(lambda value, _: name(value)))
    (ax.set_xlim if across else ax.set_ylim)(low, high)


def short(name: object, most: int = 16) -> str:
    """The last so many characters of ``name``: its end is where names of alike guests differ."""
    text = str(name)
    return text if len(text) <= most else f"…{text[1 - most :]}"


def unit(highest: int) -> tuple[str, float]:
    """The binary unit in which ``highest`` bytes are a number below 1024, and its bytes."""
    power = min(max(highest.bit_length() - 1, 0) // 10, 4)
    return ("B", "KiB", "MiB", "GiB", "TiB")[power], 1024.0**power


def legend(ax: Axes, handles: Sequence[Artist] | None = None, *, reverse: bool = False) -> None:
    """The legend at the right of ``ax``, where it covers nothing; ``reverse`` for a stack, whose top comes first."""
    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    labels = [str(handle.get_label()) for handle in handles]
    step = -1 if reverse else 1
    ax.legend(
        handles[::step],
        labels[::step],
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        borderaxespad=0.2,
        handlelength=1.6,
        ncols=1 if len(labels) <= 10 else 2,
    )


def colours(n: int) -> Sequence[Any]:
    """``n`` colours for lines: the fixed ones while they last, else evenly along a colour-blind safe gradient.

    What is too pale for a line on white is not among them.
    """
    return LINE_COLOURS[:n] if n <= len(LINE_COLOURS) else gradient(n)


def gradient(n: int) -> Sequence[Any]:
    """``n`` colours for lines along a colour-blind safe gradient."""
    return [matplotlib.colormaps["viridis"](DARK_PART * i / max(n - 1, 1)) for i in range(n)]


def say(ax: Axes, words: str) -> None:
    """Put ``words`` into an empty panel instead of nothing."""
    ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", color="#666666")


def count(value: float) -> str:
    """``value`` as a tick label, with separators of thousands."""
    return f"{value:,.0f}"


def notes_of(words: Iterable[str]) -> list[str]:
    """Sentences as lines that :func:`write_below` can write."""
    return [line for sentence in words for line in textwrap.wrap(sentence, NOTE_COLUMNS)]


def to_end(x: Floats, end: float) -> Floats:
    """``x`` with the end of the axis added, so that the last value of a step function is seen."""
    return np.append(x, end) if len(x) else x


def hold(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``values`` with the last one repeated, to go with :func:`to_end`."""
    return np.append(values, values[-1:])
