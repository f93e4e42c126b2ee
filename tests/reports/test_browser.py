# SPDX-License-Identifier: GPL-2.0-or-later
"""Live pages in a real browser: no complaint, hover, zoom, tables, events, print, and what axe-core says of them.

Needs Chromium, its driver, Plotly and Selenium; what is missing is the reason of a skip.  axe-core is fetched with npm
into pytest's temporary folder.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from gmemsim.reports.export import compare_html, html, sweep_html
from gmemsim.reports.figures import FIGURES
from gmemsim.reports.page.shell import is_live
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.sim.run import run
from gmemsim.studies.compare import Comparison, usual_policies, with_policy
from gmemsim.studies.sweep import Sweep, SweepRow, Variation

from . import views

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
MISSING = [
    name
    for name, there in (
        ("the package chromium", CHROMIUM),
        ("the package chromium-driver", DRIVER),
        ("gmemsim[html]", is_live()),
        ("selenium", find_spec("selenium")),
    )
    if not there
]
pytestmark = [
    pytest.mark.skipif(
        bool(MISSING), reason=f"pages are not tested in a browser here, for lack of {', '.join(MISSING)}"
    ),
    pytest.mark.filterwarnings("default"),  # those of Selenium are not ours
]

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage")
AXE = "axe-core@4"
LETTER = (8.27, 11.69)
"""Inches of the paper: A4."""


class Browser:
    """Chromium with one page open at a time."""

    def __init__(self) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.options import Options
        from selenium.webdriver.chrome.service import Service

        options = Options()
        options.binary_location = CHROMIUM or ""
        for option in OPTIONS:
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        self.driver.set_script_timeout(60)

    def open(self, page: Path, width: int = 1280, scheme: str = "light") -> list[str]:
        """Open ``page``, wait until it is drawn, and return what the console said."""
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        self.driver.get(page.as_uri())
        self.driver.execute_async_script(
            """const done = arguments[0];
            const look = () => document.body.dataset.ready ? done() : setTimeout(look, 50);
            look()"""
        )
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def command(self, name: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, arguments)

    def ask(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def pixels(self, path: Path) -> Any:
        from matplotlib.image import imread

        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"]))
        return imread(path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    made = Browser()
    yield made
    made.driver.quit()


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
