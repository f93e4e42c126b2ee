# SPDX-License-Identifier: GPL-2.0-or-later
"""Chromium without a window, for tests and benchmarks of pages; :data:`LACKING` says what is not there to start it.

Benchmarks measure other revisions too, so nothing of gmemsim is imported here.
"""

from __future__ import annotations

import base64
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
LACKING = ", ".join(
    name
    for name, there in (
        ("the package chromium", CHROMIUM),
        ("the package chromium-driver", DRIVER),
        ("gmemsim[html]", find_spec("plotly")),
        ("selenium", find_spec("selenium")),
    )
    if not there
)
"""What is needed and not there, for the reason of a skip; empty where a browser can be started."""

DRAWN = """const done = arguments[0];
const look = () => document.body.dataset.ready ? requestAnimationFrame(shown) : setTimeout(look, 10);
const shown = () => requestAnimationFrame(() => done(performance.now() / 1000));
look()"""
"""Ends one frame after all plots of the page are drawn; the seconds since the browser was sent to its file."""

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage")


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
        self.seconds(page, width, scheme)
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def seconds(self, page: Path, width: int = 1280, scheme: str = "light") -> float:
        """Seconds on the clock from opening ``page`` to the frame after all of it is drawn."""
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        self.driver.get(page.as_uri())
        seconds: float = self.driver.execute_async_script(DRAWN)
        return seconds

    def settle(self, seconds: float) -> None:
        """Show an empty page for so long that the browser's own start is over."""
        self.driver.get("about:blank")
        time.sleep(seconds)

    def quit(self) -> None:
        """End it."""
        self.driver.quit()

    def command(self, name: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, arguments)

    def ask(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def pixels(self, path: Path) -> Any:
        from matplotlib.image import imread

        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"]))
        return imread(path)
