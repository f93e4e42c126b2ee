# SPDX-License-Identifier: GPL-2.0-or-later
"""The page of a run: complete, safe with any text, and the same every time.  A browser opens it in test_browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import attrs
import numpy as np
import pytest

from gmemsim import __version__
from gmemsim.gmem.policy import KEYS
from gmemsim.gmem.presets import PRESETS
from gmemsim.reports.export import html
from gmemsim.reports.figures import FIGURES
from gmemsim.reports.page import plots
from gmemsim.reports.page.shell import is_live
from gmemsim.reports.views import View
from gmemsim.scenario.format.load import load_scenario, parse_scenario
from gmemsim.scenario.shipped import scenarios
from gmemsim.sim.run import run
from gmemsim.studies.compare import with_policy

from . import fakes, views

needs_plotly = pytest.mark.skipif(not is_live(), reason="Plotly is not installed: pip install 'gmemsim[html]'")


class Page(HTMLParser):
    """The tags that are open at the end, every address, and all text."""

    VOID = frozenset({"meta", "link", "img", "br", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    return page


def test_without_plotly_it_has_everything_needs_nothing_and_says_how_to_get_the_other() -> None:
    source = views.SCENARIOS["everything"]
    page = read(html.render(views.view("everything"), source=source, names=("memory", "map"), live=False))
    words = " ".join(page.words)
    assert page.open == []
    assert not page.tags & {"script", "iframe", "object"}
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert sum(address.startswith("data:image/svg+xml,") for address in page.addresses) == 2
    assert {source, __version__, "vm0", "vm1", FIGURES["map"].caption} <= set(page.words)
    for expected in ("seed 0", "filemap_nodes", "≈ attributes", "only the halves around the shared range", "EAGAIN"):
        assert expected in words
    assert "pip install 'gmemsim[html]'" in words


def test_text_from_outside_is_never_markup() -> None:
    bad = '<script>alert("x")</script>&amp;'
    summary = fakes.summary(bad, guests=[], expect=[{"metric": bad, "ok": False, "value": bad, "line": 1}])
    view = View(fakes.FakeResult(fakes.headline().timeline, summary))
    page = read(html.render(view, source=bad, names=(), live=False))
    assert "script" not in page.tags
    assert page.words.count(bad) == 5  # title, heading, expected, found, source


@needs_plotly
@pytest.mark.parametrize("bad", ["</script><b>", "<!--<script>", '"\\u003c&]]>'])
def test_data_of_a_live_page_cannot_end_its_script(bad: str) -> None:
    timeline = fakes.headline().timeline
    timeline.event(attrs.evolve(fakes.convert(3 * fakes.SECOND, 9), detail=bad, guest=bad))
    view = View(fakes.FakeResult(timeline, fakes.summary(bad)))
    text = html.render(view, source=bad, names=("memory",), live=True)
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 3
    (records,) = json.loads(scripts[0])["records"]
    assert bad in next(column["words"] for column in records["columns"] if column["name"] == "detail")
    assert bad not in text


@needs_plotly
def test_only_the_scripts_of_the_page_may_run_and_nothing_may_be_fetched() -> None:
    text = html.render(views.view("everything"), source=None, names=("memory", "map", "calls"), live=True)
    policy = re.search(r'Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert policy[1] == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src "
        + " ".join(f"'sha256-{value}'" for value in hashes)
    )
    assert len(scripts) == 2
    shell = text.replace(scripts[0], "")
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", shell)


def data_of(text: str) -> dict[str, Any]:
    """What the script of a live page has to draw."""
    found: dict[str, Any] = json.loads(
        re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[0]
    )
    return found


@needs_plotly
def test_the_curves_of_a_stack_share_the_points_that_they_may_have() -> None:
    """Each point is written for every account: seven curves with all buckets each made a page of more than 10 MB."""
    data = data_of(html.render(View(fakes.busy(20_000)), source=None, names=("memory",), live=True))
    stack = [trace for trace in data["plots"][0]["traces"] if "fill" in trace]
    assert len(stack) > plots.CURVES_IN_FULL
    assert sum(len(data["lists"][trace["x"]]) for trace in stack) < 50 * plots.BUCKETS
    assert len({trace["x"] for trace in stack}) == 1


@needs_plotly
def test_places_on_the_axis_have_no_more_digits_than_one_can_zoom_to() -> None:
    assert plots.places(np.array([1 / 3, 100 / 7]), 20.0) == [0.33333333, 14.28571429]
    assert plots.places(np.array([1234.5678912345]), 16666.7) == [1234.56789]


@needs_plotly
def test_a_long_run_stays_below_seven_megabytes_and_keeps_its_peak() -> None:
    result = fakes.busy(200_000)
    view = View(result)
    text = html.render(view, source=None, names=("memory", "calls"), live=True)
    assert len(result.timeline.events) == 100_000
    assert len(text.encode()) < 7_000_000
    data = data_of(text)
    total = next(trace for trace in data["plots"][0]["traces"] if trace["name"] == "total")
    assert max(data["lists"][total["y"]]) == int(result.timeline.columns()["total"].max())
    assert len(data["records"][0]["columns"][0]["values"]) <= html.MOST_EVENTS
    assert f"{html.MOST_EVENTS:,} of 100,000 events" in text or "of 100,000 events" in text


@needs_plotly
def test_the_page_of_64_guests_with_every_figure_stays_below_seven_megabytes() -> None:
    """The script of Plotly alone has 4.8 MB, and 10 are the bound."""
    scenario = load_scenario(scenarios()["host-64-guests"])
    view = views.recorded(scenario)
    text = html.render(view, source=None, names=FIGURES, live=True)
    assert len(view.result.summary["guests"]) == 64
    assert len(text.encode()) < 7_000_000


def test_events_that_failed_and_the_longest_are_listed_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MOST_EVENTS", 40)
    result = fakes.busy(2000)
    for step in (1000, 1001):
        result.timeline.event(fakes.convert(step * fakes.SECOND, step, errno="ENOMEM"))
    chosen = html.chosen_events(View(result)).tolist()
    assert len(chosen) <= 40
    assert {1000, 1001} <= set(chosen)


@pytest.mark.parametrize("name", PRESETS)
def test_every_value_of_every_policy_is_explained(name: str) -> None:
    text = "gmemsim: 1\nhost: {hugetlb: {1G: 1}}\nguests: [{name: a, memory: 1G, backing: 1G}]\nworkload: []\n"
    scenario = with_policy(parse_scenario(text), PRESETS[name].policy)
    guests = run(scenario).summary["guests"]
    explained = "".join(block.html(live=False) for block in html._policies(guests))
    assert explained.count("<tr>") == len(guests[0]["policy"])  # a ladder may have its times with it


def test_there_are_words_for_all_that_a_policy_may_say() -> None:
    for key in KEYS.values():
        for text in key.choices():
            written, words = key.explained(key.as_file(key.from_text(text)))
            assert words
            assert written.startswith((text.partition("-")[0], "ladder"))


def test_a_long_scenario_is_cut_and_says_so() -> None:
    page = read(html.render(views.view("idle"), source="x" * (html.LARGEST_SOURCE + 5), names=(), live=False))
    assert "… 5 more characters." in page.words


def test_the_same_run_gives_the_same_page() -> None:
    pages = []
    for _ in range(2):
        view = views.recorded(parse_scenario(views.SCENARIOS["no time"]))
        pages.append(html.render(view, source="", names=FIGURES))
    assert pages[0] == pages[1]


def test_a_live_page_says_which_guests_its_folio_maps_are_of() -> None:
    captions = plots.over_time(views.view("crowd")).caption
    assert "Folio maps: 8 of 10 guests: " in captions


def test_a_live_page_of_many_samples_says_what_the_grey_band_is() -> None:
    assert "grey line is the total" in plots.over_time(View(fakes.busy(20_000))).caption
    assert "grey" not in plots.over_time(views.view("crowd")).caption


def test_the_legend_of_a_live_page_has_the_sizes_that_occur_and_equal_counts_are_both_seen() -> None:
    plot = plots.over_time(views.view("no time"))
    assert [trace["name"] for trace in plot.traces if str(trace["name"]).startswith("folios of")] == [
        "folios of 4K",
        "folios of 2M",
    ]
    widths = {
        trace["name"]: trace["line"]["width"] for trace in plot.traces if "legendgroup" in trace and "line" in trace
    }
    assert widths["2M"] > widths["4K"]
