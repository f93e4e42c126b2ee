# SPDX-License-Identifier: GPL-2.0-or-later
"""A page as one file: head, contents, sections, style, and, where Plotly is installed, scripts with their hashes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

from gmemsim.reports.page.parts import Page, Plot, Records, text

PACKAGE, EXTRA = "plotly", "html"
"""The package that draws plots in the browser, and the extra of gmemsim that brings it."""

LACKING = (
    "This page is static. With Plotly its curves can be zoomed, its tables sorted and its events filtered:"
    f" pip install 'gmemsim[{EXTRA}]', then write it again."
)
"""What a page says that has no scripts."""


def is_live() -> bool:
    """Whether pages have scripts: whether Plotly is installed."""
    return find_spec(PACKAGE) is not None


def render(page: Page, *, live: bool | None = None) -> str:
    """``page`` as HTML; ``live``: with scripts (default: if Plotly is installed)."""
    live = is_live() if live is None else live
    made = [(f"s{i}", part, part.html(live=live, anchor=f"s{i}")) for i, part in enumerate(page.sections)]
    shown = [(anchor, part.title, body) for anchor, part, body in made if body]
    contents = "".join(f'<li><a href="#{anchor}">{text(title)}</a></li>' for anchor, title, _ in shown)
    sections = "\n".join(body for _, _, body in shown)
    scripts = [_plotly(), _own("page.js")] if live else []
    lacking = "" if live else f'<p class="facts">{text(LACKING)}</p>\n'
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{text(page.title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">\n'
        f"<style>{_own('page.css')}</style></head>\n<body>\n"
        f"<header><h1>{text(page.title)}</h1>\n"
        f'<p class="facts">{text(page.facts)}</p>\n{lacking}</header>\n'
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav>\n<main>\n{sections}\n</main>\n'
        f"{_data(page) if live else ''}"
        f"{''.join(f'<script>{script}</script>{chr(10)}' for script in scripts)}</body></html>\n"
    )


def data(value: Any) -> str:
    """``value`` as JSON in which nothing ends a script or begins a comment of HTML."""
    written = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return written.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _data(page: Page) -> str:
    blocks = [block for section in page.sections for block in section.blocks]
    lists: dict[tuple[object, ...], int] = {}
    plots = [_numbered(block.data, lists) for block in blocks if isinstance(block, Plot)]
    records = [block.data for block in blocks if isinstance(block, Records)]
    content = {"lists": list(lists), "plots": plots, "records": records}
    return f'<script type="application/json" id="data">{data(content)}</script>\n'


def _numbered(plot: Mapping[str, Any], lists: dict[tuple[object, ...], int]) -> dict[str, Any]:
    """``plot`` with a number for every list of places and values: the curves of a stack have the same places."""
    traces = [
        {
            key: lists.setdefault(tuple(value), len(lists)) if key in ("x", "y") else value
            for key, value in trace.items()
        }
        for trace in plot["traces"]
    ]
    return {**plot, "traces": traces}


def _policy(scripts: list[str]) -> str:
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii") for script in scripts]
    scripts_by_hash = " ".join(f"'sha256-{value}'" for value in hashes) or "'none'"
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {scripts_by_hash}"


def _own(name: str) -> str:
    return files("gmemsim.reports.page").joinpath(name).read_text(encoding="utf-8")


def _plotly() -> str:
    """Plotly's script as it is installed; what would end the element is written in another way that means the same."""
    script = files(PACKAGE).joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")
    return script.replace("</script", "<\\/script").replace("\r\n", "\n").replace("\r", "\n")
