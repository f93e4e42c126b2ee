# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of the page of a long run: how large it is, and how fast a browser has it drawn."""

from __future__ import annotations

from pathlib import Path

from tests.bench.meter import Meter, row
from tests.bench.rows_run import scenario, written
from tests.browser import LACKING, Browser

EVENTS = 100_000

START = 4
"""Seconds after which the start of the browser takes no more time from a page."""


def _page(meter: Meter, conversions: int) -> Path:
    """The page of a run of so many conversions, with every figure."""
    path, page = written(meter, "bench.yaml", scenario("staged", 64, 64, conversions)), meter.folder / "run.html"
    meter.command("run", path, "--format", "html", "--out", page, "--force")
    return page


def _opening(meter: Meter, conversions: int) -> float:
    page, browser = _page(meter, conversions), Browser()
    try:
        browser.settle(0 if meter.quick else START)
        return browser.seconds(page)
    finally:
        browser.quit()


@row("page.size", "MB", f"the page (`--format html`) of a run of {EVENTS:,} conversions", collections=False)
def page_size(meter: Meter) -> float:
    return _page(meter, meter.scale(EVENTS)).stat().st_size / 1e6


@row(
    "page.open",
    "s",
    "its first opening in a headless Chromium that runs: from the file to the frame after all plots are drawn"
    " (wall clock)",
    collections=False,
    lacking=LACKING,
)
def page_open(meter: Meter) -> float:
    return _opening(meter, meter.scale(EVENTS))


@row(
    "page.open-least",
    "s",
    "the same of the page of two conversions: what any page takes",
    collections=False,
    lacking=LACKING,
)
def page_open_least(meter: Meter) -> float:
    return _opening(meter, 2)
