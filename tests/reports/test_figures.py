# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of real runs: readable whatever happens, the same every time, and their data complete."""

from __future__ import annotations

import csv
import struct
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.text import Text

from gmemsim.reports import figures
from gmemsim.reports.figures import calls, canvas, foliomap
from gmemsim.reports.figures.curves import BUCKETS, time_axis
from gmemsim.reports.views import View
from gmemsim.results.pricing import PHASE_NAMES
from gmemsim.results.timeline import Event, Timeline
from gmemsim.sim.layout import NOTHING, Layout

from . import fakes, views

ALL = [(figure, scenario) for figure in figures.FIGURES for scenario in views.SCENARIOS]


def drawn(figure: Figure) -> list[Text]:
    """All texts that are seen."""
    figure.draw_without_rendering()
    beyond = set()  # labels of ticks outside the view exist, but are not drawn
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            beyond |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    found = [artist for artist in figure.findobj(Text) if isinstance(artist, Text)]
    return [text for text in found if text.get_visible() and text.get_text() and text not in beyond]


def texts(name: str, scenario: str) -> list[str]:
    return [text.get_text() for text in drawn(figures.figure(name, views.view(scenario)))]


@pytest.mark.parametrize(("name", "scenario"), ALL)
def test_png_and_svg_are_always_the_same(name: str, scenario: str, tmp_path: Path) -> None:
    for suffix in ("png", "svg"):
        for attempt in ("a", "b"):
            figures.write(name, views.view(scenario), tmp_path / f"{attempt}.{suffix}")
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    width, _ = struct.unpack(">II", (tmp_path / "a.png").read_bytes()[16:24])
    assert width == canvas.WIDTH * canvas.DPI
    assert ElementTree.fromstring((tmp_path / "a.svg").read_text()).tag.endswith("svg")


@pytest.mark.parametrize(("name", "scenario"), ALL)
@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")
def test_no_text_covers_another_or_leaves_the_figure(name: str, scenario: str) -> None:
    figure = figures.figure(name, views.view(scenario))
    boxes = [(text.get_window_extent(), text.get_text()) for text in drawn(figure)]
    width, height = figure.get_size_inches() * figure.dpi
    for i, (box, words) in enumerate(boxes):
        assert box.x0 >= -1, words
        assert box.y0 >= -1, words
        assert box.x1 <= width + 1, words
        assert box.y1 <= height + 1, words
        for other, others in boxes[:i]:
            apart = box.x1 <= other.x0 or other.x1 <= box.x0 or box.y1 <= other.y0 or other.y1 <= box.y0
            assert apart, (words, others)


@pytest.mark.parametrize(("name", "scenario"), ALL)
def test_the_data_behind_a_figure_is_a_table(name: str, scenario: str, tmp_path: Path) -> None:
    figures.write_data(name, views.view(scenario), tmp_path / "data.csv")
    with (tmp_path / "data.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    times = {"time_ns"} <= set(rows[0]) if rows else scenario == "idle"
    assert times
    assert all(None not in row.values() for row in rows)


def test_the_map_names_sizes_and_says_what_is_shared() -> None:
    words = set(texts("map", "everything"))
    assert {"1G", "4K", "shared", "no memory", "vm0", "vm1", "offset in the guest [GiB]", "simulated time [s]"} <= words
    assert "Colour: the smallest folio within 1M to 16M of memory; line: some of it is shared." in words


def test_a_size_has_the_same_colour_in_every_map_and_larger_is_lighter() -> None:
    def light(order: int) -> float:
        red, green, blue, _ = foliomap.colour_of(order)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue  # luminance, ITU-R BT.709

    shades = [light(order) for order in range(foliomap.LARGEST + 1)]
    assert shades == sorted(shades)
    assert len({foliomap.colour_of(order) for order in range(foliomap.LARGEST + 1)}) == foliomap.LARGEST + 1
    for scenario in ("everything", "no time"):
        legend = figures.figure("map", views.view(scenario)).legends[0]
        patches = {text.get_text(): handle for text, handle in zip(legend.texts, legend.legend_handles, strict=True)}
        small = patches["4K"]
        assert isinstance(small, Patch)
        assert small.get_facecolor() == foliomap.colour_of(0)


@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")
def test_the_map_shows_one_guest_of_every_kind_and_says_how_many_are_missing() -> None:
    words = texts("map", "crowd")
    assert "other" in words
    assert any("2 more guests are not shown." in text for text in words)


def test_a_column_of_the_map_shows_the_smallest_folio_and_what_was_left_before() -> None:
    view = views.view("everything")
    layout: Layout = view.recording(figures.LAYOUT)
    smallest, shared = foliomap._columns(layout, time_axis(view.result.timeline))
    second = foliomap.COLUMNS * 1_000_000_000 // view.result.timeline.end_ns
    vm0 = layout.regions[0]
    first_cell = smallest[:, vm0.first]
    assert first_cell[0] == 18  # populated at the start
    assert set(first_cell[second + 1 : 2 * second]) == {0}
    assert first_cell[-1] == 18
    assert shared[second + 1 : 2 * second, vm0.first].all()
    assert not shared[-1].any()
    assert set(smallest[:, layout.regions[1].first + 1].tolist()) <= {0, 9, NOTHING}


def test_the_data_of_the_map_is_the_layout(tmp_path: Path) -> None:
    view = views.view("no time")
    layout: Layout = view.recording(figures.LAYOUT)
    figures.write_data("map", view, tmp_path / "map.csv")
    with (tmp_path / "map.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == layout.smallest.size
    last = [row for row in rows if row["step"] == rows[-1]["step"]]
    at = {int(row["offset"]): row for row in last}
    assert (at[0]["smallest_folio_left"], at[0]["shared_left"]) == ("4096", "1")
    assert at[4 << 20]["smallest_folio_left"] == str(2 << 20)
    assert at[14 << 20]["smallest_folio_left"] == "0"
    assert sum(int(row["size"]) for row in last) == 16 << 20


def test_folios_and_mappings_have_curves_by_size() -> None:
    words = set(texts("orders", "everything"))
    assert {"guest 4K", "guest 2M", "host 4K", "1G", "folios [count, log]", "mappings [count, log]"} <= words
    assert {"no folios", "nothing mapped"} <= set(texts("orders", "idle"))


def test_calls_are_told_apart_and_the_longest_are_named() -> None:
    words = texts("calls", "everything")
    assert {"to shared, 4 ×", "failed, 2 ×", "modelled time of a call [≈, log]"} <= set(words)
    notes = next(text for text in words if "estimates" in text).split("\n")
    assert any(note.endswith("vm0: convert 4K at 0 to shared") for note in notes)
    caveats = " ".join(notes).partition("Times are estimates: ")[2]
    assert caveats.startswith("cost profile default; not priced: ")
    assert caveats.endswith(" 2 psmashes.")
    assert "no call took any time" in texts("calls", "idle")


def test_thinning_calls_keeps_the_longest_of_every_column() -> None:
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(0, 9, 100_000))
    y = rng.lognormal(9, 2, len(x))
    kept = calls._thinned(x, y, 9.0, y.min(), y.max())
    assert len(kept) < len(x) / 2
    column = (x * (BUCKETS / 9)).astype(int)
    for number in range(BUCKETS):
        assert y[column == number].max(initial=0) == y[kept][column[kept] == number].max(initial=0)


def test_occupancy_has_a_level_for_every_shift_and_the_exact_number() -> None:
    words = set(texts("occupancy", "everything"))
    assert {"shift 0", "shift 6", "shift 12", "shift 18", "all, exact", "slots in use [%]"} <= words
    assert "no nodes" in texts("occupancy", "idle")


def test_the_title_says_that_a_run_is_partial() -> None:
    result = fakes.FakeResult(fakes.headline().timeline, fakes.summary(partial=True))
    assert any("(partial: interrupted)" in text.get_text() for text in drawn(figures.figure("memory", View(result))))


@pytest.mark.parametrize(("name", "needs"), [("map", "layout"), ("orders", "census"), ("occupancy", "census")])
def test_a_figure_without_what_it_needs_says_so(name: str, needs: str) -> None:
    with pytest.raises(ValueError, match=needs):
        figures.FIGURES[name].draw(View(fakes.FakeResult(Timeline([], []), fakes.summary())))


def test_the_sums_of_calls_are_the_same_on_every_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.12 began to add floats more exactly than 3.11: a sum must not depend on it."""
    phases = np.array([[1e16, 1.0, -1e16, *[0.0] * (len(PHASE_NAMES) - 3)]])
    monkeypatch.setattr(calls, "phase_times", lambda events, profile: phases)
    timeline = Timeline([], [])
    timeline.event(Event(0, 0, None, "convert"))
    (row,) = calls.table(View(fakes.FakeResult(timeline, fakes.summary()))).rows
    assert row[-1] == 1.0
