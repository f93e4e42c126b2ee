# SPDX-License-Identifier: GPL-2.0-or-later
"""Live pages in a real browser: no complaint, hover, zoom, tables, events, print, and what axe-core says of them.

Needs Chromium, its driver, Plotly and Selenium; what is missing is the reason of a skip.  axe-core is fetched with npm
into pytest's temporary folder.
"""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gmemsim.reports.export import compare_html, html, sweep_html
from gmemsim.reports.figures import FIGURES
from gmemsim.reports.figures.sizes import COLOURS, ON_DARK
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.sim.run import run
from gmemsim.studies.compare import Comparison, usual_policies, with_policy
from gmemsim.studies.sweep import Sweep, SweepRow, Variation
from tests.browser import LACKING, Browser

from . import views

pytestmark = [
    pytest.mark.skipif(bool(LACKING), reason=f"pages are not tested in a browser here, for lack of {LACKING}"),
    pytest.mark.filterwarnings("default"),  # those of Selenium are not ours
]

AXE = "axe-core@4"
LETTER = (8.27, 11.69)
"""Inches of the paper: A4."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    made = Browser()
    yield made
    made.quit()


def comparison() -> Comparison:
    scenario = parse_scenario(views.SCENARIOS["too small"])
    policies = list(usual_policies(scenario).items())[:3]
    return Comparison("Three", "policy", {name: run(with_policy(scenario, policy)) for name, policy in policies})


def swept() -> Sweep:
    rows = tuple(SweepRow((str(seed),), (float(seed), 1 << 20)) for seed in range(3))
    return Sweep("Three", (Variation("seed", ("0", "1", "2")),), ("splits.1G->4K", "vmemmap.peak_bytes"), rows)


PAGES: dict[str, Callable[[], str]] = {
    "run": lambda: html.render(views.view("everything"), source=views.SCENARIOS["everything"], names=FIGURES),
    "crowd": lambda: html.render(views.view("crowd"), source=None, names=FIGURES),
    "failing": lambda: html.render(views.view("too small"), source=None, names=("memory", "map", "calls")),
    "compare": lambda: compare_html.write(comparison()),
    "sweep": lambda: sweep_html.write(swept()),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("pages")

    def made(name: str) -> Path:
        path = folder / f"{name}.html"
        if not path.exists():
            path.write_text(PAGES[name](), encoding="utf-8")
        return path

    return made


@pytest.mark.parametrize("name", PAGES)
def test_no_complaint_and_nothing_wider_than_the_window(
    name: str, browser: Browser, pages: Callable[[str], Path]
) -> None:
    for width in (1280, 400):
        assert browser.open(pages(name), width) == []
        assert browser.ask("return document.documentElement.scrollWidth") <= width
        clipped = browser.ask(
            """return [...document.querySelectorAll('.plot svg')]
            .filter(s => s.getBoundingClientRect().right > innerWidth + 1).length"""
        )
        assert clipped == 0


def test_a_complaint_would_be_found(browser: Browser, pages: Callable[[str], Path], tmp_path: Path) -> None:
    text = pages("failing").read_text(encoding="utf-8").replace("</body>", "<script>1</script></body>")
    (tmp_path / "bad.html").write_text(text, encoding="utf-8")
    assert any("Content Security Policy" in line for line in browser.open(tmp_path / "bad.html"))


def test_hover_shows_the_value_that_the_data_has(browser: Browser, pages: Callable[[str], Path]) -> None:
    browser.open(pages("run"))
    place = browser.ask(
        """const plot = document.getElementById('time'), { _offset: left, d2p } = plot._fullLayout.xaxis;
        plot.scrollIntoView();
        const box = plot.querySelector('.nsewdrag').getBoundingClientRect();
        return [box.left + plot._fullLayout.xaxis.d2p(1.5), box.top + box.height / 3]"""
    )
    for kind in ("mouseMoved", "mouseMoved"):
        browser.command("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1])
    words = browser.driver.execute_async_script(
        """const done = arguments[0], started = Date.now();
        const look = () => {
            const text = document.querySelector('#time .hoverlayer').textContent;
            text.includes('total') || Date.now() - started > 9000 ? done(text) : setTimeout(look, 50);
        }; look()"""
    )
    columns = views.view("everything").result.timeline.columns()
    at = int((columns["time_ns"] <= 1_500_000_000).sum()) - 1
    for account in ("vmemmap", "filemap_nodes", "total"):
        assert f"{columns[account][at]:,} B" in words, words


def test_zooming_moves_all_panels_and_their_ticks(browser: Browser, pages: Callable[[str], Path]) -> None:
    browser.open(pages("run"))
    box = browser.ask(
        """const plot = document.getElementById('time'); plot.scrollIntoView();
        const box = plot.querySelector('.nsewdrag').getBoundingClientRect();
        return [box.left, box.top, box.width, box.height]"""
    )
    left, top, width, height = box
    before = browser.ask("return document.getElementById('time')._fullLayout.yaxis.tickvals")
    drag = {"button": "left", "clickCount": 1}
    browser.command("Input.dispatchMouseEvent", type="mousePressed", x=left + width / 4, y=top + height / 4, **drag)
    for step in range(1, 6):
        x, y = left + width / 4 + step * width / 20, top + height / 4 + step * height / 20
        browser.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, **drag)
    browser.command("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, **drag)
    low, high = browser.driver.execute_async_script(
        """const done = arguments[0], plot = document.getElementById('time'), started = Date.now();
        const look = () => {
            const range = plot._fullLayout.xaxis.range;
            range[0] > 0 || Date.now() - started > 9000 ? done(range) : setTimeout(look, 50);
        }; look()"""
    )
    end = browser.ask("return JSON.parse(document.getElementById('data').textContent).plots[0].layout.xaxis.range[1]")
    assert low == pytest.approx(end / 4, rel=0.05)
    assert high == pytest.approx(end / 2, rel=0.05)
    assert browser.ask("return document.getElementById('time')._fullLayout.yaxis.tickvals") != before
    assert browser.ask(
        "return Object.keys(document.getElementById('time')._fullLayout).filter(k => /^xaxis/.test(k))"
    ) == ["xaxis"]


def test_tables_are_sorted_and_events_filtered(browser: Browser, pages: Callable[[str], Path]) -> None:
    browser.open(pages("run"))
    peaks = """const tables = [...document.querySelectorAll('table.sortable')];
        const table = tables.find(t => t.tHead.textContent.includes('peak bytes'));
        const head = [...table.tHead.querySelectorAll('button')].find(b => b.textContent === 'peak bytes');
        head.click(); if (arguments[0]) head.click();
        const rows = [...table.tBodies[0].rows].filter(r => !r.classList.contains('sum'));
        return rows.map(r => Number(r.cells[5].dataset.v))"""
    found = browser.ask(peaks, False)
    assert found == sorted(found)
    assert len(found) > 4
    assert browser.ask(peaks, True) == sorted(found)  # two more clicks: down, and up again
    shown = browser.ask(
        """const events = document.getElementById('events'), find = events.querySelector('.find');
        find.value = 'vm1 convert'; find.dispatchEvent(new Event('input'));
        events.querySelector('.failed').click();
        return [...events.querySelectorAll('tbody tr')].map(r => r.textContent)"""
    )
    timeline = views.view("everything").result.timeline
    assert len(shown) == sum(e.guest == "vm1" and e.kind == "convert" and e.errno is not None for e in timeline.events)
    assert all("EAGAIN" in line for line in shown)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(scheme: str, browser: Browser, pages: Callable[[str], Path], tmp_path: Path) -> None:
    browser.open(pages("failing"), scheme=scheme)
    paper = browser.pixels(tmp_path / "shot.png")[2, 2, :3].mean()
    assert (paper > 0.9) == (scheme == "light")
    ink = browser.ask("return document.getElementById('time')._fullLayout.font.color")
    assert (ink == "#222222") == (scheme == "light")


def luminance(colour: str) -> float:
    """As WCAG defines it, of ``#rrggbb`` or ``rgb(r, g, b)``."""
    parts = (
        [int(colour[i : i + 2], 16) for i in (1, 3, 5)] if colour[0] == "#" else map(int, re.findall(r"\d+", colour))
    )
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (p / 255 for p in parts))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_size_stands_out_from_the_paper_or_has_something_around_it_that_does(
    scheme: str, browser: Browser, pages: Callable[[str], Path]
) -> None:
    browser.open(pages("run"), scheme=scheme)
    paper = browser.ask("return getComputedStyle(document.body).backgroundColor")
    lines = browser.ask(
        """return document.getElementById('time').data.filter(t => t.mode === 'lines' && t.legendgroup)
            .map(t => [t.name, t.line.color])"""
    )
    around, inside = dict(lines[::2]), dict(lines[1::2])
    assert len(inside) > 2
    assert [name for name in inside if max(contrast(inside[name], paper), contrast(around[name], paper)) < 3] == []
    assert all(contrast(colour, paper) >= 3 for colour in inside.values() if scheme == "dark")


def test_another_paper_changes_the_colours_and_not_what_is_shown(
    browser: Browser, pages: Callable[[str], Path]
) -> None:
    browser.open(pages("run"), scheme="light")
    look = """const plot = document.getElementById('time'), map = plot.data.find(t => t.type === 'heatmap');
        return [plot.data.find(t => t.legendgroup === '0' && !t.hoverinfo).line.color, map.colorscale[0][1],
            plot._fullLayout.font.color, plot._fullLayout.xaxis.range, plot._fullLayout.yaxis.range]"""
    browser.driver.execute_async_script(
        "Plotly.relayout('time', { 'xaxis.range[0]': 1, 'xaxis.range[1]': 2 }).then(arguments[0])"
    )
    light = browser.ask(look)
    browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    browser.driver.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 100))")
    dark = browser.ask(look)
    assert (light[0], dark[0]) == (COLOURS[0], ON_DARK[0]) == (light[1], dark[1])
    assert light[2] != dark[2]
    assert light[3:] == dark[3:]
    assert light[3] == [1, 2]


@pytest.mark.parametrize("name", ["run", "compare"])
def test_nothing_is_clipped_on_paper(name: str, browser: Browser, pages: Callable[[str], Path]) -> None:
    """Printed as a browser prints: with the medium, its width, and what listens to it."""
    browser.open(pages(name))
    margin = 0.4
    browser.ask("dispatchEvent(new Event('beforeprint'))")
    browser.command("Emulation.setEmulatedMedia", media="print")
    width = round((LETTER[0] - 2 * margin) * 96)
    browser.command("Emulation.setDeviceMetricsOverride", width=width, height=1000, deviceScaleFactor=1, mobile=False)
    wide = browser.ask(
        """return [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1
            && !e.closest('.hoverlayer, defs, .modebar, clipPath')).map(e => e.tagName + '.' + e.className)"""
    )
    assert wide == []
    hidden = browser.ask(
        """return [...document.querySelectorAll('main pre, main .wide')].filter(e => e.scrollWidth > e.clientWidth + 1
            || e.scrollHeight > e.clientHeight + 1).map(e => e.tagName + '.' + e.className)"""
    )
    assert hidden == []
    pdf = base64.b64decode(browser.command("Page.printToPDF", paperWidth=LETTER[0], paperHeight=LETTER[1])["data"])
    assert pdf.startswith(b"%PDF")
    browser.command("Emulation.setEmulatedMedia", media="")


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core, fetched with npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here to fetch axe-core with")
    folder = tmp_path_factory.mktemp("axe")
    fetched = subprocess.run(
        [npm, "pack", "--silent", AXE], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    if fetched.returncode:
        pytest.skip(f"axe-core cannot be fetched: {fetched.stderr.strip()[-200:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        file = archive.extractfile("package/axe.min.js")
        assert file is not None
        return io.TextIOWrapper(file, encoding="utf-8").read()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_serious_fault(
    name: str, scheme: str, browser: Browser, pages: Callable[[str], Path], axe: str
) -> None:
    browser.open(pages(name), scheme=scheme)
    browser.ask(axe)  # the driver runs it outside the page's policy
    found = browser.driver.execute_async_script(
        "const done = arguments[0]; axe.run().then(r => done(JSON.stringify(r.violations)))"
    )
    serious = [
        (fault["id"], fault["help"], [node["html"][:200] for node in fault["nodes"]][:5])
        for fault in json.loads(found)
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []
