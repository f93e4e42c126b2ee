# SPDX-License-Identifier: GPL-2.0-or-later
"""The documentation site, as an extension of Sphinx: what is on it, and what is made when it is built.

Theory of operation
-------------------
The sources are README.md, the pages below docs/ and those that they lead to, where they lie.  Nothing is listed twice:
the contents in the margin are the list in docs/README.md, section by section.  A page may have a line
``<!-- generated: NAME -->``; the text of :data:`tests.docs.reference.PAGES` takes its place, made of the registries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.docs.reference import PAGES

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
CONTENTS = ROOT / "docs" / "README.md"
GENERATED = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)

SOURCES = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/*.md",
    "docs/**/*.md",
    "tests/*/PARITY.md",
]
"""Patterns of the pages, from the root of the repository."""

LINK = re.compile(r"^- \[[^\]]*\]\(([^)]+\.md)\)", re.MULTILINE)
SECTION = re.compile(r"^## (.+)\n", re.MULTILINE)

REDIRECT = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>gmemsim</title>
<meta http-equiv="refresh" content="0; url=README.html">
<a href="README.html">gmemsim</a></html>
"""


def sections() -> Iterator[tuple[str, list[str]]]:
    """The sections of docs/README.md, each with its pages as Sphinx names them."""
    _, *parts = SECTION.split(CONTENTS.read_text(encoding="utf-8"))
    for heading, body in zip(parts[::2], parts[1::2], strict=True):
        pages = [(CONTENTS.parent / link).resolve().relative_to(ROOT) for link in LINK.findall(body)]
        yield heading, [str(page.with_suffix("")) for page in pages]


def toctree(caption: str, pages: list[str]) -> str:
    """A list of ``pages`` that only the margin shows, below ``caption``."""
    lines = "\n".join(f"/{page}" for page in pages)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"


def with_what_is_made(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put in what is made of the registries; the first page also carries the contents."""
    source[0] = GENERATED.sub(lambda match: PAGES[match[1]](), source[0])
    if docname == "README":
        source[0] += "".join(toctree(caption, pages) for caption, pages in sections())
    if docname == "docs/decisions/README":
        decisions = sorted(path.stem for path in (ROOT / "docs" / "decisions").glob("0*.md"))
        source[0] += toctree("Decisions", [f"docs/decisions/{name}" for name in decisions])


def with_a_first_page(app: Sphinx, error: Exception | None) -> None:
    """Write ``index.html``, which leads to the first page."""
    if error is None and app.builder.format == "html":
        (Path(app.outdir) / "index.html").write_text(REDIRECT, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", with_what_is_made)
    app.connect("build-finished", with_a_first_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
