# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenarios that come with gmemsim, and how a name becomes one of them.

Theory of operation
-------------------
They are the folder ``scenarios/`` of the repository.  A wheel has a copy of it in the package; where there is none, as
in a checkout, the folder beside the package is the one.  A *name* is a file's stem: ``rfc-cover``.

What people write where a file is wanted is that file if it exists.  If not, the stem of a shipped scenario means that
scenario, and ``scenarios/NAME`` a file of the folder, so every command of the documentation works anywhere
(:func:`resolve`).

What may live here: where these files are.  What is in them is read as any scenario is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePath

import attrs

from gmemsim.registry import Registry

FOLDER = "scenarios"
"""The folder, in the repository and in the package."""

SUFFIX = ".yaml"


@attrs.frozen
class Template:
    """What ``gmemsim init`` can write: ``words`` say what it is, ``log`` is the shipped log that it replays, if any."""

    words: str
    log: str | None = None


TEMPLATES: Registry[Template] = Registry("template")
"""Every template; the files are in ``templates/``."""

TEMPLATES.add("page", Template("one 4K page shared out of a 1G hugepage"))
TEMPLATES.add("boot", Template("a guest that boots"))
TEMPLATES.add("host", Template("many guests on a host with little kernel memory"))
TEMPLATES.add("log", Template("a recorded log", log="replay-qemu.log"))


@cache
def folder() -> Path:
    """Where the shipped scenarios are."""
    package = Path(str(files("gmemsim")))
    inside = package / FOLDER
    return inside if inside.is_dir() else package.parent / FOLDER


@cache
def scenarios() -> dict[str, Path]:
    """Every shipped scenario by its name, in alphabetical order: those of the folder, then those of folders in it."""
    top = folder()
    found = sorted(top.rglob(f"*{SUFFIX}"), key=lambda path: (len(path.parts), path.parent, path.stem))
    return {path.stem: path for path in found}


def template(name: str) -> str:
    """The text of the template ``name``, one of :data:`TEMPLATES`."""
    return files("gmemsim.scenario").joinpath("templates", f"{name}{SUFFIX}").read_text(encoding="utf-8")


def resolve(name: str | os.PathLike[str]) -> str:
    """The file that ``name`` means: itself if it exists, else a shipped one (default: itself again).

    >>> resolve("rfc-cover").endswith("scenarios/rfc-cover.yaml")
    True
    >>> resolve("no-such-scenario")
    'no-such-scenario'
    """
    text = os.fsdecode(name)
    try:
        if os.path.lexists(text) and not os.path.isdir(text):  # noqa: PTH112 - of any text at all
            return text
    except ValueError:  # no name of a file
        return text
    if text in scenarios():
        return str(scenarios()[text])
    path = PurePath(text)
    if path.parts[:1] == (FOLDER,) and ".." not in path.parts:
        inside = folder().joinpath(*path.parts[1:])
        if inside.is_file():
            return str(inside)
    return text


def belonging(path: Path) -> Iterator[Path]:
    """The files beside the shipped scenario at ``path`` that it reads: those that its text names."""
    text = path.read_text(encoding="utf-8")
    yield from (other for other in sorted(path.parent.glob("*.log")) if other.name in text)
