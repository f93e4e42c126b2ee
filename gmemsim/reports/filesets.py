# SPDX-License-Identifier: GPL-2.0-or-later
"""The files that ``--out`` writes, by command: the name of each, and the function that writes it.

A file set is known before anything is run, so that a command can say at once that it cannot be written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmemsim.registry import late
from gmemsim.reports import figures
from gmemsim.reports.export import (
    BUDGET_EXPORTS,
    COMPARE_EXPORTS,
    EXPORTS,
    FAULTS_EXPORTS,
    RESERVE_EXPORTS,
    SWEEP_EXPORTS,
    TUNE_EXPORTS,
    StudyFormat,
)
from gmemsim.reports.export.packing import packing_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gmemsim.registry import Registry

FileSet = dict[str, Callable[[Any, Path], None]]
"""The name of every file, and the function that writes it.  It gets the view of the run, or the study, and a path."""

PLOT = {"plot": "memory"}
"""The figure of a run if none is asked for: its file's stem, and its name."""

MOST_KEYS = 2
"""Keys of a sweep up to which it has a heatmap."""


def run_files(chosen: Sequence[str] = (), *, data: bool = False) -> FileSet:
    """Summary, timeline, and the figures ``chosen`` (default: a plot); ``data``: with the data behind each figure."""
    row = EXPORTS["jsonl"]
    files: FileSet = {
        "summary.json": _late("gmemsim.reports.export.run_json:write"),
        f"{row.stem}{row.suffix}": partial(row.write, ""),
    }
    drawn: dict[str, Figure] = {}  # each between its two files
    for stem, name in ({name: name for name in chosen} or PLOT).items():
        files |= {f"{stem}{suffix}": partial(figures.write, name, kept=drawn) for suffix in figures.SUFFIXES}
        if data:
            files[f"{stem}.csv"] = partial(figures.write_data, name)
    return files


def format_files(form: str, name: str | None = None) -> FileSet:
    """The files of a run in the format ``form``, the first one called ``name`` (default: as the format calls it)."""
    row = EXPORTS[form]
    first = name or f"{row.stem}{row.suffix}"
    packing = packing_of(first)
    text = Path(first.removesuffix(packing))
    return {f"{text.stem}{part}{text.suffix}{packing}": partial(row.write, part) for part in row.parts}


def format_of(path: Path) -> str | None:
    """The format of a run whose files end as ``path`` does, a compression left out, or ``None``."""
    suffix = Path(path.name.removesuffix(packing_of(path.name))).suffix.lower()
    return next((name for name, row in EXPORTS.items() if row.suffix == suffix), None)


def alone(files: FileSet, path: Path) -> FileSet:
    """The one of ``files`` that ends as ``path`` does, called as ``path`` is; nothing if there is none.

    ``ValueError`` if there are several.
    """
    found = [name for name in files if Path(name).suffix == path.suffix.lower()]
    if len(found) > 1:
        raise ValueError(f"{path} is one file, and {', '.join(found)} are {len(found)}")
    return {path.name: files[found[0]]} if found else {}


def compare_files() -> FileSet:
    """A comparison in every format, and its figure."""
    return _study(COMPARE_EXPORTS) | _drawn("compare", "gmemsim.reports.figures.overlay:write")


def sweep_files(keys: int) -> FileSet:
    """A sweep of so many ``keys`` (without one that is folded) in every format, and as a heatmap if it can be shown."""
    drawn = _drawn("heatmap", "gmemsim.reports.figures.heatmap:write") if 0 < keys <= MOST_KEYS else {}
    return _study(SWEEP_EXPORTS) | drawn


def budget_files() -> FileSet:
    """A budget in every format, and its figure."""
    return _study(BUDGET_EXPORTS) | _drawn("budget", "gmemsim.reports.figures.needs:write")


def faults_files() -> FileSet:
    """What failing allocations leave, in every format, and as a figure."""
    return _study(FAULTS_EXPORTS) | _drawn("faults", "gmemsim.reports.figures.faultmap:write")


def reserve_files() -> FileSet:
    """A reserve in every format, and as a figure."""
    return _study(RESERVE_EXPORTS) | _drawn("reserve", "gmemsim.reports.figures.reserves:write")


def tune_files() -> FileSet:
    """A tuning in every format, and its fronts."""
    return _study(TUNE_EXPORTS) | _drawn("front", "gmemsim.reports.figures.front:write")


def _study(formats: Registry[StudyFormat]) -> FileSet:
    return {row.file: partial(_write_text, row) for row in formats.rows()}


def _write_text(row: StudyFormat, study: Any, path: Path) -> None:
    path.write_text(row.text(study), encoding="utf-8", newline="\n")


def _drawn(stem: str, place: str) -> FileSet:
    return {f"{stem}{suffix}": _late(place) for suffix in figures.SUFFIXES}


def _late(place: str) -> Callable[[Any, Path], None]:
    return lambda made, path: late(place)(made, path)


def bound(files: FileSet, made: Any) -> Mapping[str, Callable[[Path], None]]:
    """The same files when what they are made of is there."""
    return {name: partial(write, made) for name, write in files.items()}
