# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of real runs: readable whatever happens, the same every time, and their data complete."""

from __future__ import annotations

import csv
import struct
from collections import Counter
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text

from gmemsim.host.accounts import ACCOUNTS
from gmemsim.reports import figures
from gmemsim.reports.figures import calls, canvas, foliomap, occupancy, sizes, stack
from gmemsim.reports.figures.curves import BUCKETS, time_axis
from gmemsim.reports.views import View
from gmemsim.reports.words import account_colour
from gmemsim.results.pricing import PHASE_NAMES
from gmemsim.results.recordings import Census, CensusRow, Layout
from gmemsim.results.timeline import Event, Timeline
from gmemsim.scenario.format.load import load_scenario, parse_scenario

from . import fakes, views
from .twice import same_twice

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
def test_png_and_svg_are_written_and_always_the_same(name: str, scenario: str, tmp_path: Path) -> None:
    """What could differ from one time to the next is how a figure is drawn, so one scenario shows it."""

    def write(path: Path) -> None:
        figures.write(name, views.view(scenario), path)

    if scenario == "everything":
        same_twice(write, tmp_path)
    else:
        write(tmp_path / "a.png")
        write(tmp_path / "a.svg")
    width, _ = struct.unpack(">II", (tmp_path / "a.png").read_bytes()[16:24])
    assert width == canvas.WIDTH * canvas.DPI
    assert ElementTree.fromstring((tmp_path / "a.svg").read_text()).tag.endswith("svg")


@pytest.mark.parametrize("name", ["memory", "map", "orders"])
def test_a_figure_is_drawn_once_for_both_its_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view, kept = views.view("everything"), dict[str, Figure]()
    for suffix in figures.SUFFIXES:
        figures.write(name, view, tmp_path / f"alone{suffix}")
    draws: list[Figure] = []
    draw = Figure.draw

    def counted(self: Figure, renderer: RendererBase) -> None:
        draws.append(self)
        draw(self, renderer)

    monkeypatch.setattr(Figure, "draw", counted)
    for suffix in figures.SUFFIXES:
        figures.write(name, view, tmp_path / f"both{suffix}", kept)
    for suffix in figures.SUFFIXES:
        assert (tmp_path / f"both{suffix}").read_bytes() == (tmp_path / f"alone{suffix}").read_bytes()
    assert len(draws) == len(figures.SUFFIXES)
    assert len(set(draws)) == 1
    assert not kept


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
    assert {"1G", "4K", "no memory", "vm0", "vm1", "offset in the guest", "512M", "32M", "simulated time [s]"} <= words
    notes = " ".join(next(text for text in words if text.startswith("An area")).split())
    assert notes.startswith("An area of a colour is that much memory. Within a cell of 1M to 16M sizes are stacked")
    parts = "4K 53%, over 4K 0.19%, 2M 100%, over 2M 100%, 1G 100% (not at one time)"
    assert f"The largest part of a guest's memory that was ever in a size: {parts}." in notes


def test_sizes_have_five_colours_that_differ_in_lightness_and_mean_no_account() -> None:
    def light(colour: str) -> float:
        red, green, blue = to_rgb(colour)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue  # luminance, ITU-R BT.709

    shades = [light(colour) for colour in sizes.COLOURS]
    assert all(after - before > 0.1 for before, after in pairwise(shades))
    others = [account.colour for _, account in ACCOUNTS.items()] + [canvas.MARK]
    for colour in sizes.COLOURS:
        for other in others:
            assert np.linalg.norm(np.subtract(to_rgb(colour), to_rgb(other))) > 0.2, (colour, other)


@pytest.mark.parametrize("scenario", ["everything", "no time"])
def test_a_size_has_the_same_colour_in_every_figure(scenario: str) -> None:
    legend = figures.figure("map", views.view(scenario)).legends[0]
    patches = {text.get_text(): handle for text, handle in zip(legend.texts, legend.legend_handles, strict=True)}
    small = patches["4K"]
    assert isinstance(small, Patch)
    assert to_hex(small.get_facecolor()) == sizes.COLOURS[0]
    axes = figures.figure("memory", views.view(scenario)).axes
    lines = {line.get_label(): line.get_color() for ax in axes for line in ax.get_lines()}
    assert lines["4K"] == sizes.COLOURS[0]


@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")
def test_the_map_says_which_guests_of_many_it_shows() -> None:
    words = texts("map", "crowd")
    assert "other" in words
    notes = " ".join(next(text for text in words if text.startswith("An area")).split())
    assert "8 of 10 guests: of every kind the first, since they held the same and failed as often." in notes


@settings(deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 6))
def test_an_area_of_the_map_is_as_large_as_the_memory(seed: int, rows: list[int], columns: int) -> None:
    """In every column each class has as many rows as it is part of all rows, to within the number of classes."""
    rng = np.random.default_rng(seed)
    shares = list(rng.dirichlet([0.2] * 6, size=(len(rows), columns)))
    picture = sizes.spread(shares, rows)
    wanted = sum(share * number for share, number in zip(shares, rows, strict=True))
    for kind in range(6):
        assert (np.abs((picture == kind).sum(axis=0) - wanted[:, kind]) < 6).all()


def test_what_is_everywhere_and_little_is_not_drawn_at_one_place() -> None:
    """Without a beginning of its own in each column it was in the middle of all."""
    rng = np.random.default_rng(1)
    cells = []
    for large in rng.random((128, 400)) < 0.3:
        rest = np.where(large[:, None], [0, 1.0], [1.0, 0])
        cells.append(np.concatenate([np.full((400, 1), 0.003), 0.997 * rest], axis=1))
    where = np.argwhere(sizes.spread(cells, [4] * 128) == 0)[:, 0]
    assert len(where) == pytest.approx(0.003 * 4 * 128 * 400, rel=0.1)
    quarters = np.bincount(where // 128, minlength=4)
    assert quarters.min() > len(where) / 6


def test_what_stays_as_it_is_is_a_line_in_the_map() -> None:
    cells = [np.tile([0.02, 0.0, 0.98], (50, 1)) for _ in range(64)]
    picture = sizes.spread(cells, [4] * 64)
    assert (picture == picture[:, :1]).all()
    assert (picture == 0).any()


def test_a_guest_of_which_little_is_split_looks_so() -> None:
    view = views.view("seven percent")
    (guest,) = view.recording(figures.LAYOUT).guests
    pages, _ = foliomap.states(guest, view.recording(figures.LAYOUT), time_axis(view.result.timeline))
    picture = foliomap.picture(guest, pages, 4096, 544)
    assert guest.most[0] / guest.most.sum() == pytest.approx(0.07, rel=0.1)
    assert (picture[:, -2] == 0).mean() == pytest.approx(36 / 512, abs=6 / 544)


def test_a_column_of_the_map_shows_the_most_split_instant_and_what_was_left_before() -> None:
    view = views.view("everything")
    layout: Layout = view.recording(figures.LAYOUT)
    vm0, vm1 = layout.guests
    pages, shared = foliomap.states(vm0, layout, time_axis(view.result.timeline))
    second = foliomap.COLUMNS * 1_000_000_000 // view.result.timeline.end_ns
    sizes_in_first = [set(np.flatnonzero(cell).tolist()) for cell in pages[:, 0]]
    assert sizes_in_first[0] == {4}  # populated at the start
    assert 0 in sizes_in_first[second + 2]
    assert sizes_in_first[-1] == {4}
    assert shared[second + 2 : 2 * second, 0].all()
    assert not shared[-1].any()
    pages, _ = foliomap.states(vm1, layout, time_axis(view.result.timeline))
    assert set(np.flatnonzero(pages.sum(axis=(0, 1))).tolist()) <= {0, 2}


def test_the_data_of_the_map_is_the_layout(tmp_path: Path) -> None:
    view = views.view("no time")
    figures.write_data("map", view, tmp_path / "map.csv")
    with (tmp_path / "map.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    last = [row for row in rows if (row["step"], row["state"]) == (rows[-1]["step"], "left")]
    at = {int(row["offset"]): row for row in last}
    cell = at[0]["size"]
    assert (at[0]["4K"], at[0]["2M"], at[0]["shared"]) == (cell, "0", "1")
    assert at[4 << 20]["2M"] == cell
    assert at[14 << 20]["2M"] == "0"
    assert sum(int(row["size"]) for row in last) == 16 << 20


def test_folios_and_mappings_have_curves_by_size() -> None:
    words = set(texts("orders", "everything"))
    assert {"guest 4K", "guest 2M", "host 4K", "1G", "folios [count, log]", "mappings [count, log]"} <= words
    assert {"no folios", "nothing mapped"} <= set(texts("orders", "idle"))


def test_calls_are_told_apart_and_the_longest_are_named() -> None:
    words = texts("calls", "everything")
    assert {"split", "merge", "failed", "other calls", "modelled time of a call [≈, log]"} <= set(words)
    assert "unchanged" in texts("calls", "too small")
    assert "1 × none priced" in texts("calls", "too small")  # it is counted
    notes = next(text for text in words if "estimates" in text).split("\n")
    assert any(note.endswith("vm0: convert 4K at 0 to shared") for note in notes)
    caveats = " ".join(notes).partition("Times are estimates: ")[2]
    assert caveats.startswith("cost profile default; not priced: ")
    assert caveats.endswith(" 2 psmashes.")
    assert "no call took any time" in texts("calls", "idle")


@pytest.mark.parametrize("scenario", views.SCENARIOS)
def test_the_kind_of_every_call_is_what_its_event_says(scenario: str) -> None:
    def kind(event: Event) -> int:
        work = event.work
        if event.errno is not None or work is None:
            return calls.FAILED if event.errno is not None else -1
        if event.kind == "convert" and not work.conversions:
            return calls.UNCHANGED
        changed = (work.folios_split, calls.SPLIT), (work.folios_merged, calls.MERGE), (event.kind == "convert", 0)
        return next((kind for number, kind in changed if number), calls.OTHER)

    result = views.view(scenario).result
    assert calls.calls_of(result).kinds.tolist() == list(map(kind, result.timeline.events))


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


def test_no_census_is_held_when_the_number_of_nodes_has_changed() -> None:
    timeline = Timeline(fakes.ACCOUNTS, fakes.ORDERS)
    for step, nodes in enumerate([100, 100, 101, 200, 200]):
        timeline.sample(step * fakes.SECOND, fakes.live(nodes), [0, 0, step])
        timeline.event(fakes.convert(step * fakes.SECOND, step))
    timeline.end(5 * fakes.SECOND)
    rows = [CensusRow(t * fakes.SECOND, t, Counter({0: 100}), Counter(), Counter(), 0) for t in (0, 4, 5)]
    census = Census(4096, 64, (0, 9, 18), tuple(attrs.evolve(row, event=min(row.event, 4)) for row in rows))
    assert occupancy.held_until(census, time_axis(timeline), timeline) == [3.0, 5.0, 5.0]


def test_the_title_is_the_answer_where_guests_were_asked_the_same() -> None:
    scenario = load_scenario(Path(__file__).parents[2] / "scenarios" / "is-it-necessary.yaml")
    (title,) = [
        t.get_text() for t in drawn(figures.figure("holdings", views.recorded(scenario))) if "costs" in t.get_text()
    ]
    assert " ".join(title.split()) == (
        "One shared 4K page costs 18.3 MiB (today), 16.0 MiB (staged), 65.7 KiB (halves), 2.06 MiB (partial)"
    )


def test_the_title_says_once_what_is_the_same_in_all_guests() -> None:
    scenario = parse_scenario(
        "gmemsim: 1\nhost: {hugetlb: {2M: 3}}\nguests: [{name: vm, memory: 2M, backing: 2M, count: 3}]\n"
        "workload: [allocate: {guest: vm, offset: 0, size: 2M}, convert: {guest: vm, offset: 0, size: 4K, to: shared}]"
    )
    words = {" ".join(text.get_text().split()) for text in drawn(figures.figure("holdings", views.recorded(scenario)))}
    assert "One shared 4K page costs 32.5 KiB in each of these 3 guests" in words


ONE_OF_MANY = """\
gmemsim: 1
host: {hugetlb: {2M: 64}}
guests: [{name: vm, memory: 2M, backing: 2M, count: NUMBER}]
workload:
  - allocate: {guest: vm-1, offset: 0, size: 2M}
  - convert: {guest: vm-1, offset: 0, size: 4K, to: shared, at: 1s}
"""


def of_many(figure: str, number: int) -> list[str]:
    view = views.recorded(parse_scenario(ONE_OF_MANY.replace("NUMBER", str(number))))
    return [" ".join(text.get_text().split()) for text in drawn(figures.figure(figure, view))]


def test_an_empty_panel_says_why_it_is_empty() -> None:
    words = of_many("holdings", 3)
    assert words.count("256 B at most: too little to see") == 2
    assert any(text.startswith("All panels have one scale. Not in the panels: host itself: ") for text in words)


def test_of_many_guests_those_without_memory_are_counted_and_not_shown() -> None:
    panels = {text for text in of_many("map", 64) if text.startswith("vm-")}
    assert panels == {"vm-1"}
    assert any(text.endswith("1 of 64 guests. 63 had no memory at any time.") for text in of_many("map", 64))
    (shown,) = (text for text in of_many("holdings", 64) if "Shown" in text)
    assert "Shown: the 1 of 64 guests whose peak was highest. No other held more than 256 B." in shown


def test_guests_that_held_the_same_are_not_said_to_have_held_most() -> None:
    text = ONE_OF_MANY.replace("vm-1", "vm").replace("NUMBER", "20")
    words = " ".join(text.get_text() for text in drawn(figures.figure("map", views.recorded(parse_scenario(text)))))
    assert "8 of 20 guests: of every kind the first, since they held the same." in " ".join(words.split())


def test_the_time_of_one_call_and_of_equal_calls_is_said_once() -> None:
    words = calls._in_words
    assert words(1, np.array([1.4e6])) == "1 ×\n1.4 ms"
    assert words(222, np.full(222, 130.0)) == "222 ×\n130 ns each"
    assert words(164, np.array([1.3e9])) == "164 × (1 priced)\n1.3 s"
    assert words(3, np.array([1e3, 2e3, 9e3])) == "3 ×\nmedian 2 µs\nmax 9 µs"
    assert words(200, np.arange(1.0, 201)) == "200 ×\nmedian 100 ns\n99 % 200 ns, max 200 ns"


def test_calls_that_took_equally_long_are_named_once() -> None:
    text = ONE_OF_MANY.replace("vm-1", "vm").replace("NUMBER", "20")
    words = [text.get_text() for text in drawn(figures.figure("calls", views.recorded(parse_scenario(text))))]
    notes = next(text for text in words if "as long" in text).split("\n")
    assert [note.partition(" – ")[2] for note in notes[:2]] == [
        "vm-0: allocate 2M at 0 (the first of 20 as long)",
        "vm-0: convert 4K at 0 to shared (the first of 20 as long)",
    ]


def test_a_map_says_how_long_a_column_is_and_what_is_too_short_to_be_seen() -> None:
    notes = " ".join(next(text for text in texts("map", "everything") if "A column shows" in text).split())
    assert "what is split for less than 12.53 ms looks as long, a merge as short is not seen" in notes
    notes = " ".join(next(text for text in texts("map", "no time") if "A column shows" in text).split())
    assert "looks as long" not in notes


def test_a_line_that_may_have_narrow_pulses_says_how_wide_they_look() -> None:
    assert any(canvas.WIDE_LINES in " ".join(text.split()) for text in texts("orders", "everything"))


def test_the_line_of_a_sum_with_very_many_turns_does_not_cover_the_areas() -> None:
    """It was black, which is no account's colour; a narrow peak is drawn in those of its accounts."""
    for samples, expected in ((20, True), (20_000, False)):
        ax = figures.figure("memory", View(fakes.busy(samples))).axes[0]
        lines = [
            line for line in ax.get_lines() if line.get_color() == canvas.INK and line.get_drawstyle() == "steps-post"
        ]
        assert bool(lines) == expected
        hairs = {
            line.get_linewidth() for line in ax.get_lines() if str(line.get_color()) in map(account_colour, ACCOUNTS)
        }
        assert (stack.HAIR in hairs) != expected


def test_where_levels_were_not_counted_the_nodes_are_grey_and_not_absent() -> None:
    assert "level not counted" in texts("occupancy", "everything")


def test_a_pool_without_a_free_region_says_so_in_words() -> None:
    notes = " ".join(next(text for text in texts("regions", "everything") if "aligned GiB" in text).split())
    assert "has a private page: at least 0, at the end 0." in notes


def test_what_is_counted_in_whole_numbers_has_ticks_at_whole_numbers() -> None:
    ax = figures.figure("regions", views.view("everything")).axes[0]
    assert [tick for tick in ax.get_yticks() if tick != round(tick)] == []


def test_a_larger_size_is_seen_beside_a_smaller_one_with_the_same_count() -> None:
    """Larger ones are drawn first, and wider."""
    lines = figures.figure("orders", views.view("everything")).axes[0].get_lines()
    widths = [line.get_linewidth() for line in lines]
    assert len(widths) > 2
    assert widths == sorted(set(widths), reverse=True)


def test_a_bar_is_as_long_as_its_number() -> None:
    view = views.view("everything")
    ax = figures.figure("memory", view).axes[-2]
    unit = {"KiB": 1024, "MiB": 1 << 20}[ax.get_xlabel().partition("[")[2].rstrip("]")]
    ends: dict[float, float] = {}
    for patch in ax.patches:
        assert isinstance(patch, Rectangle)
        ends[patch.get_y()] = max(ends.get(patch.get_y(), 0.0), patch.get_x() + patch.get_width())
    peaks = [guest["accounts"]["total"]["peak_bytes"] for guest in view.result.summary["guests"]]
    assert [end * unit for _, end in sorted(ends.items())] == pytest.approx(peaks)


def test_the_budget_is_drawn_and_failures_say_which_errno_and_account() -> None:
    words = texts("memory", "too small")
    assert {"kernel_memory 512 KiB (dashed)", "1 × ENOMEM vmemmap", "unchanged"} <= set(words)


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
