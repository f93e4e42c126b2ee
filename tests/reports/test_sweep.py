# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from matplotlib.text import Text
from rich.console import Console

from gmemsim.reports.export import sweep_csv, sweep_json
from gmemsim.reports.figures import canvas, heatmap
from gmemsim.reports.screen import sweep as report
from gmemsim.reports.swept import spread
from gmemsim.studies.sweep import Sweep, SweepRow, Variation

from .twice import same_twice


def swept(
    down: int, across: int, *, metrics: tuple[str, ...] = ("vmemmap.peak_bytes",), partial: bool = False
) -> Sweep:
    variations = (
        Variation("policy", tuple(f"a-policy-with-a-long-name-{i}=split:staged" for i in range(down))),
        Variation("host.kernel_memory", tuple(f"{i + 1}00M" for i in range(across))),
    )
    rows = []
    for i, policy in enumerate(variations[0].values):
        for j, memory in enumerate(variations[1].values):
            refused = "no memory" if i == j == 1 else None
            results = tuple(None if refused else float(4096 * (i + 1) ** 3 * (j + 1)) for _ in metrics)
            rows.append(SweepRow((policy, memory), results, refused))
    return Sweep("A sweep", variations, metrics, tuple(rows), partial)


def one_key(values: int, result: float | None = 7) -> Sweep:
    rows = tuple(SweepRow((str(i),), (result,), None if result else "no") for i in range(values))
    return Sweep("Seeds", (Variation("seed", tuple(map(str, range(values)))),), ("splits.1G->4K",), rows)


CASES = {
    "small": swept(3, 4),
    "large": swept(30, 40),
    "wide": swept(2, 14, metrics=("vmemmap.peak_bytes", "modelled_time_ns.total")),
    "one key": one_key(5),
    "one value": one_key(1),
    "all refused": one_key(3, None),
}


def screen(sweep: Sweep) -> str:
    out = io.StringIO()
    Console(file=out, width=80).print(report.render(sweep))
    return out.getvalue()


def test_the_screen_has_a_row_for_every_variant_in_human_units() -> None:
    shown = screen(swept(2, 2, metrics=("vmemmap.peak_bytes", "modelled_time_ns.total", "attributes.peak")))
    assert "4 variants" in shown
    assert "4.00 KiB" in shown
    assert "4.1 µs" in shown
    assert "4,096" in shown
    assert "≈" in shown
    assert "refused, 1 ×: no memory" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "PARTIAL" not in shown
    assert "PARTIAL" in screen(swept(2, 2, partial=True))
    assert "… and 1,140 more variants" in screen(CASES["large"])


def test_csv_and_json_have_the_same() -> None:
    told = json.loads(json.dumps(sweep_json.as_json(CASES["small"]), allow_nan=False))
    rows = list(csv.DictReader(io.StringIO(sweep_csv.write(CASES["small"]))))
    assert len(rows) == len(told["rows"]) == 12
    for row, entry in zip(rows, told["rows"], strict=True):
        assert {key: row[key] for key in ("policy", "host.kernel_memory")} == entry["values"]
        value = entry["metrics"]["vmemmap.peak_bytes"]
        assert row["vmemmap.peak_bytes"] == ("" if value is None else str(value))
        assert row["refused"] == entry.get("refused", "")
    assert sweep_json.as_json(swept(2, 2, partial=True))["partial"] is True


@pytest.mark.parametrize("most", [9, 3000])
def test_the_colours_of_bytes_are_labelled_in_powers_of_two(most: int) -> None:
    """On both scales: multiples of one, and, where the largest is far above the smallest, powers themselves."""
    rows = [SweepRow((str(pages),), (4096.0 * pages,), None) for pages in (1, 3, most)]
    varied = (Variation("seed", tuple(row.values[0] for row in rows)),)
    with canvas.paper():
        figure = heatmap.draw(Sweep("Sizes", varied, ("vmemmap.peak_bytes",), tuple(rows)))
    figure.draw_without_rendering()
    words = [label.get_text() for label in figure.axes[-1].get_yticklabels()]
    assert (
        words
        == {
            9: ["8.00 KiB", "16.0 KiB", "24.0 KiB", "32.0 KiB"],
            3000: ["4.00 KiB", "16.0 KiB", "64.0 KiB", "256 KiB", "1.00 MiB", "4.00 MiB"],
        }[most]
    )


@pytest.mark.parametrize("case", CASES)
def test_the_heatmap_is_always_the_same_and_nothing_overlaps(case: str, tmp_path: Path) -> None:
    if case == "wide":  # one case shows how it is drawn
        same_twice(lambda path: heatmap.write(CASES[case], path), tmp_path)
    with canvas.paper():
        figure = heatmap.draw(CASES[case])
    figure.draw_without_rendering()
    width, height = figure.get_size_inches() * figure.dpi
    beyond = set()
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                beyond |= set() if low <= tick.get_loc() <= high else {tick.label1, tick.label2}
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text() and text not in beyond]
    boxes = [(text.get_window_extent(), text) for text in texts if text.get_visible()]
    for i, (box, text) in enumerate(boxes):
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= width + 1, text
        assert box.y1 <= height + 1, text
        for other, others in boxes[:i]:
            apart = text.get_rotation() % 90 or others.get_rotation() % 90 or not box.overlaps(other)
            assert apart, (text, others)


def test_fields_have_values_where_there_is_room() -> None:
    def words(case: str) -> set[str]:
        figure = heatmap.draw(CASES[case])
        return {text.get_text() for text in figure.axes[0].texts}

    assert {"4.00 KiB", "–"} <= words("small")
    assert words("large") == set()
    assert words("all refused") == {"nothing was simulated"}


def test_three_keys_make_no_heatmap() -> None:
    key = Variation("seed", ("1",))
    with pytest.raises(ValueError, match="not 3"):
        heatmap.draw(Sweep("t", (key, key, key), ("folios.4K",), ()))


@pytest.mark.parametrize(
    ("metric", "mean", "deviation", "words"),
    [
        ("splits.2M->4K", 621.7333, 1.0483, "621.7 ± 1.0"),
        ("merges.4K->2M", 30.8, 3.79, "30.8 ± 3.8"),
        ("merges.4K->2M", 30.8, 0.0996, "30.80 ± 0.10"),
        ("splits.2M->4K", 12345.678, 234.5, "12,346 ± 234"),
        ("splits.2M->4K", 622, 0, "622 ± 0"),
        ("splits.2M->4K", 622, None, "622"),
        ("splits.2M->4K", None, None, "refused"),
        ("vmemmap.peak_bytes", 2**24, 2**20, "16.0 MiB ± 1.00 MiB"),
        ("modelled_time_ns.total", 27_345_678, 1_234_567, "27 ms ± 1.2 ms"),
    ],
)
def test_a_spread_has_the_digits_that_it_deserves(
    metric: str, mean: float | None, deviation: float | None, words: str
) -> None:
    assert spread(metric, mean, deviation) == words
