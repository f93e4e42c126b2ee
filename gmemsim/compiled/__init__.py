# SPDX-License-Identifier: GPL-2.0-or-later
"""The compiled form: the same sources, compiled by mypyc, optional.

Theory of operation
-------------------
``python -m gmemsim.compiled.build`` (``make fast``) compiles :data:`MODULES` into the folder ``lib`` beside this file,
never beside the sources, with a stamp: a hash of those sources and of the Python that they were compiled for.  When
gmemsim is imported, :func:`activate` compares the stamp.  If it fits, the compiled modules are imported in place of
their sources; if not, the sources are, and one line on standard error says so.  ``GMEMSIM_PURE=1`` switches the
compiled form off.

A module that is compiled is plain typed Python: no attrs, no ``cached_property``, no closures with ``nonlocal``.
Exceptions stay uncompiled.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

MODULES = (
    "gmemsim.xarray.node",
    "gmemsim.xarray.allocator",
    "gmemsim.xarray.tree",
    "gmemsim.xarray.split",
    "gmemsim.xarray.marks",
    "gmemsim.xarray.find",
    "gmemsim.xarray.dump",
    "gmemsim.xarray.check",
    "gmemsim.xarray.array",
    "gmemsim.host.injection",
    "gmemsim.host.memcg",
    "gmemsim.host.nodes",
    "gmemsim.host.tallies",
    "gmemsim.host.vmemmap",
    "gmemsim.host.ledger",
    "gmemsim.host.rcu",
    "gmemsim.host.work",
    "gmemsim.host.host",
    "gmemsim.gmem.rules",
    "gmemsim.gmem.policy",
    "gmemsim.gmem.ranges",
    "gmemsim.gmem.assigned",
    "gmemsim.gmem.attributes",
    "gmemsim.gmem.hugepage",
    "gmemsim.gmem.filemap",
    "gmemsim.gmem.descent",
    "gmemsim.gmem.pamt",
    "gmemsim.gmem.stage2",
    "gmemsim.gmem.inode",
    "gmemsim.gmem.merging",
    "gmemsim.gmem.restructure",
    "gmemsim.gmem.population",
    "gmemsim.gmem.conversion",
    "gmemsim.gmem.check",
    "gmemsim.gmem.guest",
    "gmemsim.results.rows",
    "gmemsim.results.timeline",
    "gmemsim.scenario.demand",
    "gmemsim.sim.steps",
    "gmemsim.sim.run",
    "gmemsim.sim.frames",
    "gmemsim.sim.layout",
    "gmemsim.sim.holdings",
    "gmemsim.sim.census",
    "gmemsim.sim.regions",
)
"""What is compiled: what lies on the path of a conversion, in a run, and what watches it for figures."""

LIBRARY = Path(__file__).parent / "lib"
STAMP = LIBRARY / "stamp"
SUFFIX = EXTENSION_SUFFIXES[0]

_PACKAGE = Path(__file__).resolve().parents[1]


def source_of(module: str) -> Path:
    """The source file of a module of gmemsim."""
    return _PACKAGE.parent / (module.replace(".", "/") + ".py")


def stamp() -> str:
    """What the sources and the Python are now; some milliseconds."""
    import hashlib  # only where there is a compiled form to compare with

    digest = hashlib.sha256(f"{SUFFIX} {sys.version_info[:2]}".encode())
    for module in MODULES:
        digest.update(source_of(module).read_bytes())
    return digest.hexdigest()


def up_to_date() -> bool:
    """Whether there is a compiled form, made of these sources for this Python."""
    return STAMP.exists() and STAMP.read_text() == stamp()


def active() -> bool:
    """Whether the compiled modules are the ones that are imported."""
    return any(isinstance(finder, _Finder) for finder in sys.meta_path)


def form() -> str:
    """The form that is imported, in words."""
    return "compiled" if active() else "pure Python"


def activate() -> None:
    """Import the compiled modules from now on, if there are any and they were made from these sources."""
    if os.environ.get("GMEMSIM_PURE") or active() or not STAMP.exists():
        return
    if up_to_date():
        sys.meta_path.insert(0, _Finder())
    else:
        print("gmemsim: the compiled form is older than the sources and is not used; `make fast`", file=sys.stderr)


class _Finder:
    """Finds :data:`MODULES`, and the library that mypyc makes of them all, in :data:`LIBRARY`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The compiled module ``name``; ``None`` if it is none of ours."""
        if name not in MODULES and not name.endswith("__mypyc"):
            return None
        place = LIBRARY / (name.replace(".", "/") + SUFFIX)
        if not place.exists():
            return None
        return spec_from_file_location(name, place, loader=ExtensionFileLoader(name, str(place)))
