# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text
from rich.console import Console

from gmemsim.gmem.presets import read_policy
from gmemsim.reports import compared as table
from gmemsim.reports.export import compare_csv, compare_json, compare_markdown
from gmemsim.reports.figures import canvas, overlay
from gmemsim.reports.screen import compare as comparison
from gmemsim.reports.words import MAIL_COLUMNS
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.sim.run import run
from gmemsim.studies.compare import Comparison, ComparisonRow, with_policy

from .twice import same_twice

SCENARIO = parse_scenario("""\
gmemsim: 1
title: Out and back, told at such a length that no title page of any paper could ever hold all of it on one line
host: {hugetlb: {1G: 2}}
guests: [{name: vm, memory: 1G, backing: 1G}]
workload:
  - allocate: {guest: all, offset: 0, size: 1G}
  - convert: {guest: all, offset: 0, size: 4K, to: shared, at: 1s}
  - convert: {guest: all, offset: 0, size: 4K, to: private, at: 2s}
""")
LONG = "a-policy-whose-name-is-much-longer-than-it-should-be"


def compared(*policies: str, partial: bool = False, workload: int = 9) -> Comparison:
    named = dict(map(read_policy, policies))
    results = {}
    for name, policy in named.items():
        scenario = with_policy(SCENARIO, policy)
        object.__setattr__(scenario, "workload", scenario.workload[:workload])
        results[name] = run(scenario)
    return Comparison(SCENARIO.title, "policy", results, partial)


def screen(of: Comparison) -> str:
    out = io.StringIO()
    Console(file=out, width=80).print(comparison.render(of))
    return out.getvalue()


def test_the_screen_has_values_deltas_and_ratios() -> None:
    shown = screen(compared("b-today", "staged-partial"))
    lines = [line.split() for line in shown.splitlines()]
    assert ["XArray", "nodes,", "peak", "b-today", "4,162"] in lines
    assert ["staged-partial", "74", "−4,088", "0.0178"] in lines
    assert ["vmemmap,", "peak", "b-today", "16.0", "MiB"] in lines
    assert "≈ modelled time" in shown
    assert "delta and ratio are against b-today" in shown
    assert "The same in all: registry_nodes, peak 576 B;" in shown
    assert max(map(len, shown.splitlines())) <= 80


def tables_of(text: str) -> list[list[list[str]]]:
    """The cells of every Markdown table, each of whose lines must be as long as the others."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert all(len({len(line) for line in block}) == 1 for block in blocks)
    return [[[cell.strip() for cell in line.split("|")[1:-1]] for line in block] for block in blocks]


def test_markdown_has_one_row_a_policy_below_78_columns() -> None:
    (table,) = tables_of(compare_markdown.write(compared("b-today", "staged-partial", "no-hvo")))
    assert table[0] == ["policy", "memory", "nodes", "vmemmap", "≈ time"]
    assert [row[0] for row in table[2:]] == ["b-today", "staged-partial", "no-hvo"]
    assert table[3][2:4] == ["74 ×0.018", "518 ×0.13"]
    text = compare_markdown.write(compared("b-today", f"{LONG}=nonuniform-partial", "no-hvo"))
    assert max(map(len, text.splitlines())) <= MAIL_COLUMNS
    for table in tables_of(text):
        assert [row[0] for row in table[2:]] == ["b-today", "a-policy-whose-name-is-…", "no-hvo"]


def test_markdown_has_the_metrics_that_were_asked_for_and_no_others() -> None:
    metrics = ("work.nodes_allocated", "filemap_nodes.live", "folios.2M")
    made = compared("b-today", "staged")
    (table,) = tables_of(compare_markdown.write(Comparison("t", "policy", made.results, metrics=metrics)))
    assert table[0][1:] == ["work.nodes\\_allocated", "filemap\\_nodes.live", "folios.2M"] or table[0][1:] == list(
        metrics
    )
    assert [row[1] for row in table[2:]] == ["4,161", "73 ×0.018"]


SAME = """\
gmemsim: 1
host: {hugetlb: {BACKING: 2}}
guests: [{name: vm, memory: BACKING, backing: BACKING}]
workload:
  - allocate: {guest: vm, offset: 0, size: BACKING}
"""
OUT = "  - convert: {guest: vm, offset: 0, size: 4K, to: shared}\n"
BACK = "  - convert: {guest: vm, offset: 0, size: 4K, to: private}\n"


@pytest.mark.parametrize(
    ("backing", "steps", "policy", "why"),
    [
        ("2M", OUT, "staged", "on 2M backing both split 2M->4K"),
        (
            "2M",
            OUT,
            "staged-partial",
            "on 2M backing both split 2M->4K; no piece was large enough to keep less vmemmap",
        ),
        ("1G", "", "staged", "nothing was split"),
        ("1G", "", "fault-time", "nothing was split"),
        ("1G", OUT, "never", "nothing was merged"),
        ("1G", OUT + BACK, "hysteresis-10", "no folio was split often enough for the limit of merges"),
        ("1G", "", "x=vmemmap:partial", "no vmemmap was restored"),
        ("1G", "", "b-today2=b-today", "it is the same policy"),
    ],
)
def test_policies_that_are_the_same_here_are_named_and_why(backing: str, steps: str, policy: str, why: str) -> None:
    scenario = parse_scenario((SAME + steps).replace("BACKING", backing))
    results = {name: run(with_policy(scenario, rules)) for name, rules in map(read_policy, ("b-today", policy))}
    name = list(results)[1]
    notes = Comparison("t", "policy", results).notes
    assert f"{name} is the same as b-today on this workload: {why}" in notes


def test_policies_that_differ_are_not_called_the_same() -> None:
    assert not [note for note in compared("b-today", "staged", "never").notes if "same" in note]


def test_a_partial_comparison_says_so_everywhere() -> None:
    partial = compared("b-today", partial=True)
    assert "PARTIAL" in screen(partial)
    assert "PARTIAL" in compare_markdown.write(partial)
    assert compare_json.as_json(partial)["partial"] is True
    assert "partial" not in compare_json.as_json(compared("b-today"))
    assert any("partial" in text.get_text() for text in overlay.figure(partial).findobj(Text))


def test_csv_has_every_figure_of_the_json_object() -> None:
    both = compared("b-today", "no-hvo")
    told = json.loads(json.dumps(compare_json.as_json(both), allow_nan=False))
    assert (told["compared"], told["reference"], list(told["summaries"])) == (
        "policy",
        "b-today",
        ["b-today", "no-hvo"],
    )
    rows = {(row["metric"], row["name"]): row for row in csv.DictReader(io.StringIO(compare_csv.write(both)))}
    assert len(rows) == 2 * len(told["rows"])
    for row in told["rows"]:
        for name in ("b-today", "no-hvo"):
            found = rows[row["metric"], name]
            assert (found["unit"], found["estimate"]) == (row["unit"], str(row["estimate"]).lower())
            assert float(found["value"]) == row["values"][name]
            assert float(found["delta"]) == row["deltas"][name]
            assert (float(found["ratio"]) if found["ratio"] else None) == row["ratios"][name]
    for column in ("metric", "unit", "estimate", "name", "value", "delta", "ratio"):
        assert f"``{column}``" in (compare_csv.__doc__ or "")


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_a_difference_is_never_shown_as_none(a: int, b: int) -> None:
    row = ComparisonRow("m", "m", "count", (a, b))
    shown = table._ratio(row, 1)
    assert (shown == "1") == (a == b)
    assert (table._delta(row, 1) == "0") == (a == b)


@pytest.mark.parametrize("number", [1, 3, 12])
@pytest.mark.parametrize("workload", [0, 1, 9])
def test_the_figure_is_always_the_same_and_nothing_overlaps(number: int, workload: int, tmp_path: Path) -> None:
    names = ["b-today", f"{LONG}=staged", *(f"p{i}=nonuniform-partial" for i in range(10))]
    many = compared(*names[:number], workload=workload)
    if (number, workload) == (3, 9):  # one case shows how it is drawn
        same_twice(lambda path: overlay.write(many, path), tmp_path)
    figure = overlay.figure(many)
    figure.draw_without_rendering()
    for panel in figure.axes:
        legend = panel.get_legend()
        labels = [*panel.get_yticklabels(), *(legend.get_texts() if legend else [])]
        boxes = [label.get_window_extent() for label in labels if label.get_text()]
        assert all(box.x0 >= -1 and box.x1 <= canvas.WIDTH * 100 + 1 for box in boxes)
        for i, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:i])


def test_names_and_titles_are_text_in_markdown_and_csv() -> None:
    one = compared("b-today")
    (result,) = one.results.values()
    hostile = "=1+1|<b>*x*_y_ `z` a_b"
    many = Comparison("# [t](http://x)\n|", "scenario", {hostile: result, "@b": result})
    text = compare_markdown.write(many)
    assert text.startswith("\\# \\[t\\](http://x) \\|\n")
    assert "\\|\\<b\\>\\*x" in text
    assert max(map(len, text.splitlines())) <= MAIL_COLUMNS
    assert "a_b" in compare_markdown.escaped(hostile)
    assert compare_markdown.escaped("2M->4K, > 1") == "2M->4K, \\> 1"
    names = [row["name"] for row in csv.DictReader(io.StringIO(compare_csv.write(many)))]
    assert set(names) == {f"'{hostile}", "'@b"}
