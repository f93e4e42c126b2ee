# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.text import Text

from gmemsim.reports import guests
from gmemsim.reports.figures import canvas, curves, strip
from gmemsim.reports.figures import memory as plot
from gmemsim.results.timeline import Event, Timeline
from gmemsim.units import size_name

from . import fakes
from .twice import same_twice


def drawn(result: fakes.FakeResult) -> list[Text]:
    figure = plot.figure(result)
    figure.draw_without_rendering()
    beyond = set()  # labels of ticks outside the view exist, but are not drawn
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = axis.get_major_ticks()
            beyond |= {tick.label1 for tick in ticks if not low <= tick.get_loc() <= high}
    found = [artist for artist in figure.findobj(Text) if isinstance(artist, Text)]
    return [text for text in found if text.get_visible() and text.get_text() and text not in beyond]


def texts(result: fakes.FakeResult) -> list[str]:
    return [text.get_text() for text in drawn(result)]


def comb() -> fakes.FakeResult:
    """Many peaks, all orders from 4K to 1G, long names, some failures."""
    orders = [size_name(4096 << order) for order in range(19)]
    timeline = Timeline(fakes.ACCOUNTS, orders)
    timeline.sample(0, fakes.live(), [0] * 19)
    for step in range(30):
        now = step * 37_000_000
        height = 200 + step * 7919 % 3800
        folios = [height % (order + 2) << (18 - order) for order in range(19)]
        timeline.sample(now, fakes.live(height, height, 3, 16, step * 20, height), folios)
        timeline.sample(now, fakes.live(height, height // 2, 3, 16, step * 20), folios)
        errno = "ENOMEM" if step % 5 == 0 else None
        guest = f"a-guest-with-a-name-that-nobody-wants-to-type-{step}"
        timeline.event(Event(now, step, None, "convert", guest, step << 32, 12288, "to shared", errno))
        timeline.sample(now + 10_000_000, fakes.live(10, 0, 1, 16), [2] * 19)
    timeline.end(30 * 37_000_000)
    return fakes.FakeResult(timeline, fakes.summary("A comb of thirty peaks"))


def several(n: int) -> fakes.FakeResult:
    """A run of ``n`` guests, whose names are long and whose peaks differ."""
    guests = [
        {"name": f"{i}-guestwithalongname", "accounts": fakes.accounts(vmemmap=fakes.row(0, 2**i, 2**i, 4096))}
        for i in range(n)
    ]
    return fakes.FakeResult(fakes.headline().timeline, fakes.summary(guests=guests))


CASES: dict[str, Callable[[], fakes.FakeResult]] = {
    "headline": fakes.headline,
    "no time": lambda: fakes.headline(0, 0),
    "idle": fakes.idle,
    "comb": comb,
    "guests": lambda: several(plot.MOST_GUESTS),
    "busy": lambda: fakes.busy(3000),
    "empty": lambda: fakes.FakeResult(Timeline([], []), fakes.summary("")),
    "odd title": lambda: fakes.FakeResult(fakes.headline().timeline, fakes.summary("日本語: " + "$5 and $6 " * 20)),
}


@pytest.mark.parametrize("case", CASES)
def test_png_and_svg_are_written_and_always_the_same(case: str, tmp_path: Path) -> None:
    """What could differ from one time to the next is how it is drawn, so one case shows it."""

    def write(path: Path) -> None:
        plot.write(CASES[case](), path)

    if case == "guests":
        same_twice(write, tmp_path)
    else:
        write(tmp_path / "a.png")
        write(tmp_path / "a.svg")
    width, height = struct.unpack(">II", (tmp_path / "a.png").read_bytes()[16:24])
    assert width == canvas.WIDTH * canvas.DPI
    assert height > width / 2
    svg = (tmp_path / "a.svg").read_text()
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert "<dc:date>" not in svg
    assert "Matplotlib v" not in svg


def test_the_peak_is_numbered_with_value_time_and_cause() -> None:
    words = texts(fakes.headline())
    assert "(1) peak 20.4 MiB at 1 s – vm0: convert 4K at 0 to shared" in words
    assert "1" in words
    assert {"host memory held [MiB]", "simulated time [s]", "folios [count, log]"} <= set(words)


def test_conversions_are_counted_by_kind_and_failures_apart() -> None:
    words = texts(fakes.headline())
    assert {"to shared", "to private", "failed", "1 × EAGAIN", "failed, 1 ×"} <= set(words)
    assert words.count("1 ×") == 2


def test_only_accounts_and_orders_that_occur_are_in_the_legends() -> None:
    words = set(texts(fakes.headline()))
    assert {"≈ attributes", "vmemmap", "4K", "1G"} <= words
    assert not {"memdesc", "registry_nodes", "2M"} & words


@pytest.mark.parametrize("grace", [0, 10_000_000])
def test_a_run_without_duration_is_drawn_by_step_and_says_so(grace: int) -> None:
    words = texts(fakes.headline(0, grace))
    assert "step number (no simulated time passes between the steps)" in words
    assert "(1) peak 20.4 MiB at step 2 – vm0: convert 4K at 0 to shared" in words


def test_a_few_guests_are_compared_by_their_peaks() -> None:
    words = texts(several(3))
    assert {"0-guestwithalongname", "2-guestwithalongname", "4.00 KiB", "8.00 KiB", "16.0 KiB"} <= set(words)
    assert not any("guestwith" in text for text in texts(several(1)))


def test_of_many_guests_those_with_the_highest_peaks_have_bars() -> None:
    words = texts(several(plot.MOST_GUESTS + 1))
    assert "0-guestwithalongname" not in words
    assert f"{plot.MOST_GUESTS}-guestwithalongname"[-19:] in " ".join(words)
    said = "Guests: the 12 of 13 whose peaks were highest. No other held more than 4.00 KiB."
    assert any(said in " ".join(text.split()) for text in words)


def test_guests_that_stand_out_in_nothing_have_no_bars_and_what_the_host_holds_is_named() -> None:
    guests = [{"name": f"vm-{i}", "accounts": fakes.accounts(vmemmap=fakes.row(0, 1, 1, 4096))} for i in range(64)]
    guests[40] = {"name": "busy", "accounts": fakes.accounts(vmemmap=fakes.row(0, 9, 9, 4096))}
    held = {"vmemmap_page_tables": fakes.row(2, 2, 2, 4096), "total": fakes.row(2, 2, 2, 4096)}
    words = texts(fakes.FakeResult(fakes.headline().timeline, fakes.summary(guests=guests, host_accounts=held)))
    assert "busy" in words
    assert not any(word.startswith("vm-") for word in words)
    notes = next(word for word in words if word.startswith("(1)")).split("\n")
    assert notes[1:] == [
        "Guests: the 1 of 64 whose peak was highest. No other held more than 4.00 KiB.",
        "Not in the bars: host itself: 8.00 KiB at its peak (vmemmap_page_tables 8.00 KiB)",
    ]


def test_no_guest_is_said_to_have_held_most_where_all_held_the_same() -> None:
    peaks = {f"vm-{i}": 256 for i in range(64)}
    shown = guests.foremost(peaks, 12)
    assert shown == [f"vm-{i}" for i in range(12)]
    assert guests.left_out(peaks, shown, 64, " guests") == "12 of 64 guests. None held more than 256 B."


def test_guests_in_which_calls_failed_come_before_those_that_held_more() -> None:
    peaks = {"a": 9, "b": 8, "c": 1, "d": 2}
    assert guests.foremost(peaks, 2, {"c": 3, "d": 0}) == ["a", "c"]
    assert guests.others(peaks, dict.fromkeys(peaks, 0) | {"b": 1}, ["a", "c"]) == (
        "… and 2 more guests (at most 8 B and 1 failed each)"
    )


def test_many_calls_are_bars_with_gaps_only_where_nothing_happened() -> None:
    end, x = 101.0, np.concatenate([np.arange(1, 40, 0.01), np.arange(60, 101, 0.01)])
    (first, length), (second, rest) = strip.busy(x, end)
    bucket = end / curves.BUCKETS
    assert abs(first - 1) < bucket
    assert abs(first + length - 40) < bucket
    assert abs(second - 60) < bucket
    assert second + rest == pytest.approx(end)


def test_a_run_without_anything_says_so() -> None:
    assert {"nothing held", "no folios"} <= set(texts(fakes.idle()))


def test_a_narrow_spike_among_many_samples_is_numbered() -> None:
    assert any("convert 4K at 0x2710000" in text for text in texts(fakes.busy(30_000)))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")
def test_no_text_covers_another_or_leaves_the_figure(case: str) -> None:
    boxes = [(text.get_window_extent(), text.get_text()) for text in drawn(CASES[case]())]
    width = canvas.WIDTH * 100  # matplotlib's dpi before saving
    for i, (box, words) in enumerate(boxes):
        assert box.x0 >= -1, words
        assert box.x1 <= width + 1, words
        for other, others in boxes[:i]:
            apart = box.x1 <= other.x0 or other.x1 <= box.x0 or box.y1 <= other.y0 or other.y1 <= box.y0
            assert apart, (words, others)


def test_a_rise_that_made_most_of_a_peak_is_named_beside_the_step_that_reached_it() -> None:
    timeline = Timeline(fakes.ACCOUNTS, fakes.ORDERS)
    for step, nodes in enumerate([1, 1000, 1001, 1002]):
        timeline.sample(step, fakes.live(nodes), [0, 0, 1])
        timeline.event(fakes.convert(step, step, at=step * 4096))
    timeline.end(9)
    words = texts(fakes.FakeResult(timeline, fakes.summary()))
    assert next(text for text in words if text.startswith("(1)")).split("\n") == [
        "(1) peak 564 KiB at 3 ns – vm0: convert 4K at 12K to shared, which added 576 B of it",
        "(…) of which 562 KiB at once at 1 ns – vm0: convert 4K at 4K to shared",
    ]


def test_at_most_a_few_peaks_are_numbered_and_a_long_cause_is_wrapped() -> None:
    notes = next(text for text in texts(comb()) if text.startswith("(1)")).split("\n")
    assert sum(note.startswith("(") for note in notes) == curves.MAX_LABELS
    assert max(map(len, notes)) <= canvas.NOTE_COLUMNS
