# SPDX-License-Identifier: GPL-2.0-or-later
"""Output files: all of them or none, and never over an existing one unasked.

Files are written into a temporary directory beside their final place and renamed when all are complete, so a reader
never sees half a file, and an interrupted run leaves nothing behind.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from gmemsim.errors import Fault, InputError

Writer = Callable[[Path], None]


def check_free(directory: Path, names: Iterable[str], *, force: bool) -> None:
    """Raise :class:`InputError` unless the files can be put into ``directory``; with ``force`` over existing ones."""
    if directory.exists() and not directory.is_dir():
        raise InputError([Fault(str(directory), 0, 0, "found a file, expected a directory for the output")])
    there = [name for name in names if (directory / name).exists() and not (force and (directory / name).is_file())]
    if there:
        message = f"found {', '.join(there)} already there; use --force to overwrite files, or another directory"
        raise InputError([Fault(str(directory), 0, 0, message)])


def write_all(directory: Path, writers: Mapping[str, Writer]) -> None:
    """Call every writer with a temporary path, then rename the files to their names in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".gmemsim-", dir=directory))
    try:
        for name, write in writers.items():
            write(temporary / name)
        for name in writers:
            (temporary / name).replace(directory / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(text: str) -> Writer:
    """A writer of ``text``."""
    return lambda path: _write(path, text)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
