# SPDX-License-Identifier: GPL-2.0-or-later
"""Text files that are compressed if their name says so: ``timeline.jsonl.gz``, ``timeline.csv.zst``.

Theory of operation
-------------------
The last suffix of a name chooses a :class:`Packing`.  The same text gives the same bytes each time: a packed file has
neither a name nor a time in it.  gzip is always there.  Zstandard is Python's own from 3.14 on; before, it needs the
package ``zstandard``, and a command says so before it runs anything (:func:`lacking`).

What may live here: how text becomes a file.  Which formats can be packed is in ``reports.export``.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final, TextIO

import attrs

from gmemsim.registry import Registry, late

_GZIP_LEVEL: Final = 4
"""Half of the time of the default 9, and a twentieth more bytes."""

_ZSTD_LEVEL: Final = 3
"""The default of the format's own tool."""


@attrs.frozen
class Packing:
    """A way to compress.  ``open`` makes a stream of bytes to write from the file that gets them.

    ``packages``: one of them is needed (default: none is); ``extra``: the extra of gmemsim that brings one.
    """

    open: str
    packages: tuple[str, ...] = ()
    extra: str | None = None

    @property
    def missing(self) -> bool:
        """Whether none of the packages is there."""
        return bool(self.packages) and not any(map(_is_there, self.packages))


PACKINGS: Final[Registry[Packing]] = Registry("compression")
"""Every compression by the suffix of a file's name."""

PACKINGS.add(".gz", Packing("gmemsim.reports.export.packing:gzipped"))
PACKINGS.add(
    ".zst", Packing("gmemsim.reports.export.packing:zstandard_packed", ("compression.zstd", "zstandard"), "zstd")
)


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # not even what it is part of
        return False


def packing_of(name: str) -> str:
    """The suffix by which a file of this name is compressed, ``""`` if it is not."""
    suffix = Path(name).suffix
    return suffix if suffix in PACKINGS else ""


def lacking(name: str) -> str | None:
    """What to install before a file of this name can be written; ``None`` if nothing."""
    suffix = packing_of(name)
    if not suffix or not PACKINGS[suffix].missing:
        return None
    row = PACKINGS[suffix]
    return f"the package {row.packages[-1]}: pip install 'gmemsim[{row.extra}]'"


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """``path`` to write UTF-8 text to, with newlines as they are written, compressed as its name says."""
    suffix = packing_of(path.name)
    if not suffix:
        with path.open("w", encoding="utf-8", newline="") as out:
            yield out
        return
    with (
        path.open("wb") as raw,
        late(PACKINGS[suffix].open)(raw) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as out,
    ):
        yield out


def gzipped(raw: IO[bytes]) -> AbstractContextManager[Any]:
    """A stream that writes gzip to ``raw``, without a name and a time in its header."""
    return gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0)


def zstandard_packed(raw: IO[bytes]) -> AbstractContextManager[Any]:
    """A stream that writes Zstandard to ``raw``."""
    try:
        from compression.zstd import ZstdFile
    except ImportError:  # Python before 3.14
        import zstandard

        return zstandard.ZstdCompressor(_ZSTD_LEVEL).stream_writer(raw, closefd=False)
    packed: AbstractContextManager[Any] = ZstdFile(raw, "wb", level=_ZSTD_LEVEL)
    return packed
