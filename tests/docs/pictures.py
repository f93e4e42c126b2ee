# SPDX-License-Identifier: GPL-2.0-or-later
"""The pictures of the documentation: ``python -m tests.docs.pictures`` draws them anew; with ``--slow``, those too that
take minutes.

Theory of operation
-------------------
A page names the command that draws a picture in the line above it, ``<!-- picture: gmemsim run … -->``; the file below
it is what that command writes with ``--out``.  These lie in the repository.  One that takes minutes is a ``slow
picture``, which is drawn on request.  The reference also shows every figure that there is, and those of the studies;
these are drawn into build/, and a site that is built without them has none.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from gmemsim.cli.main import gmemsim
from gmemsim.reports.figures import FIGURES
from tests.readme import PAGES, ROOT

PICTURE = re.compile(r"^<!-- (slow )?picture: gmemsim (.+) -->\n\n?!\[[^\]]*\]\(([^)]+)\)", re.MULTILINE)
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")

BUILT = ROOT / "build" / "figures"

SHOWN = "host-near-limit"
"""The scenario that the reference shows every figure of: several guests, failures, a limit."""

STUDIES: Mapping[str, str] = {
    "compare": "compare rfc-cover --policy b-today --policy staged --policy nonuniform-partial",
    "sweep": "sweep rfc-cover --vary policy=b-today,staged-partial --vary host.memdesc=struct-page,struct-page-8",
    "budget": "budget replay-qemu --guests 4",
    "reserve": "reserve --pages 1 --pages 16 --pages 256",
    "faults": "faults rfc-cover --ordering all",
    "tune": "tune rfc-cover",
}
"""A command of every study that draws a figure."""


def named(*, slow: bool = True) -> Iterator[tuple[str, Path]]:
    """The commands that pages name, each with the picture it draws; without ``slow`` only the quick ones."""
    for page in PAGES:
        for match in PICTURE.finditer(page.read_text(encoding="utf-8")):
            if slow or not match[1]:
                yield match[2], (page.parent / match[3]).resolve()


def shown() -> Iterator[tuple[str, Path]]:
    """The commands of the reference, each with the picture it draws."""
    for name in FIGURES:
        yield f"run {SHOWN} --figure {name}", BUILT / f"{name}.png"
    for name, command in STUDIES.items():
        yield command, BUILT / f"{name}.study.png"


def draw(command: str, picture: Path) -> None:
    """Let ``command`` write ``picture``."""
    picture.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()):
        gmemsim([*shlex.split(command), "--out", str(picture), "--force"], prog_name="gmemsim", standalone_mode=False)


if __name__ == "__main__":
    for what, where in [*named(slow="--slow" in sys.argv), *shown()]:
        sys.stderr.write(f"{where.relative_to(ROOT)}\n")
        draw(what, where)
