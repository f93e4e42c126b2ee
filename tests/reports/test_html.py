# SPDX-License-Identifier: GPL-2.0-or-later
"""The HTML report: complete, safe with any text, and opened by a real browser without a complaint."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import attrs
import numpy as np
import pytest
from matplotlib.image import imread

from gmemsim import __version__
from gmemsim.gmem.policy import KEYS
from gmemsim.gmem.presets import PRESETS
from gmemsim.reports.export import html
from gmemsim.reports.figures import FIGURES
from gmemsim.reports.views import View
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.sim.run import run
from gmemsim.studies.compare import with_policy

from . import fakes, views

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    "--enable-logging=stderr",  # where the console's messages go
)
WIDTH, HEIGHT = 900, 2400


class Page(HTMLParser):
    """The tags that are open at the end, every address, and all text."""

    VOID = frozenset({"meta", "link", "img", "br"})

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


def test_it_has_everything_and_needs_nothing() -> None:
    source = views.SCENARIOS["everything"]
    page = read(html.render(views.view("everything"), source=source, names=("memory", "map")))
    words = " ".join(page.words)
    assert page.open == []
    assert not page.tags & {"script", "iframe", "object"}
    assert all(address.startswith("data:") for address in page.addresses)
    assert sum(address.startswith("data:image/svg+xml;base64,") for address in page.addresses) == 2
    assert {source, __version__, "vm0", "vm1", FIGURES["map"].caption} <= set(page.words)
    for expected in ("seed 0", "filemap_nodes", "≈ attributes", "only the halves around the shared range", "EAGAIN"):
        assert expected in words


def test_text_from_outside_is_never_markup() -> None:
    bad = '<script>alert("x")</script>&amp;'
    summary = fakes.summary(bad, guests=[], expect=[{"metric": bad, "ok": False, "value": bad, "line": 1}])
    view = View(fakes.FakeResult(fakes.headline().timeline, summary))
    page = read(html.render(view, source=bad, names=()))
    assert "script" not in page.tags
    assert page.words.count(bad) == 5  # title, heading, expected, found, source


@pytest.mark.parametrize("name", PRESETS)
def test_every_value_of_every_policy_is_explained(name: str) -> None:
    text = "gmemsim: 1\nhost: {hugetlb: {1G: 1}}\nguests: [{name: a, memory: 1G, backing: 1G}]\nworkload: []\n"
    scenario = with_policy(parse_scenario(text), PRESETS[name].policy)
    explained = "".join(html._policies(run(scenario).summary["guests"]))
    assert explained.count("<tr>") == len(KEYS)


def test_there_are_words_for_all_that_a_policy_may_say() -> None:
    for key in KEYS.values():
        for text in key.choices():
            written, words = key.explained(key.as_file(key.from_text(text)))
            assert words
            assert written.startswith((text.partition("-")[0], "ladder"))


def test_a_long_scenario_is_cut_and_says_so() -> None:
    page = read(html.render(views.view("idle"), source="x" * (html.LARGEST_SOURCE + 5), names=()))
    assert "… 5 more characters." in page.words


def test_the_same_run_gives_the_same_page() -> None:
    pages = []
    for _ in range(2):
        view = views.recorded(parse_scenario(views.SCENARIOS["no time"]))
        pages.append(html.render(view, source="", names=FIGURES))
    assert pages[0] == pages[1]


def browse(page: Path, picture: Path) -> list[str]:
    """Open ``page`` in Chromium, take a screenshot, and return what its console said."""
    assert CHROMIUM is not None
    profile = picture.parent / "profile"
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", f"--window-size={WIDTH},{HEIGHT}"]
    done = subprocess.run(
        [*command, f"--screenshot={picture}", page.as_uri()], capture_output=True, text=True, timeout=100, check=True
    )
    return re.findall(r"CONSOLE[:(].*", done.stderr)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install the package chromium to test the page in it")
def test_a_browser_shows_the_page_without_a_complaint(tmp_path: Path) -> None:
    view = attrs.evolve(views.view("everything"), source="gmemsim: 1", figures=("memory",))
    html.write(view, tmp_path / "report.html")
    assert browse(tmp_path / "report.html", tmp_path / "shot.png") == []
    width, height = struct.unpack(">II", (tmp_path / "shot.png").read_bytes()[16:24])
    assert (width, height) == (WIDTH, HEIGHT)
    pixels = imread(tmp_path / "shot.png")[..., :3]
    colours = np.unique((pixels[:1000] * 255).astype(np.uint8).reshape(-1, 3), axis=0)
    vmemmap_orange = (230, 159, 0)
    assert vmemmap_orange in {tuple(colour) for colour in colours.tolist()}  # the figure is there, not its name


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install the package chromium to test the page in it")
def test_a_complaint_would_be_found(tmp_path: Path) -> None:
    page = html.render(views.view("idle"), source=None, names=())
    (tmp_path / "bad.html").write_text(page.replace("</body>", "<script>1</script></body>"))
    said = browse(tmp_path / "bad.html", tmp_path / "shot.png")
    assert any("Content Security Policy" in line for line in said)
