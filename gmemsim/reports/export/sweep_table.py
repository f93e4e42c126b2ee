# SPDX-License-Identifier: GPL-2.0-or-later
"""A sweep's tidy table, which grows as the points are done, and from which a sweep that was stopped goes on.

Theory of operation
-------------------
One row a point, in the order in which points are done: ``point`` (its place in the sweep, from 0), a column for every
key that is varied, one for every metric (empty where the point was refused), ``refused``, and what made the row
(``seed`` unless it is varied, ``generation``, ``costs``, ``gmemsim``, ``scenario``, ``set``).  The rows alone say what
is done: nothing else is kept of a sweep.

A CSV file is written row by row; what a kill leaves of a row is cut off before rows are added.  Parquet cannot be added
to, so a table in Parquet is a directory of parts, each complete before it has its name: data frames read such a
directory as one table.  A kill loses the rows that no part has yet, those of :data:`SECONDS_A_PART` at most, and they
are computed again.

A table is continued only by the sweep that began it: same columns, same scenario, same version, same values at the same
point.  A lock keeps a second sweep from writing to it at the same time.

What may live here: the forms of this table.
"""

from __future__ import annotations

import contextlib
import csv
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from gmemsim.errors import Fault, InputError
from gmemsim.messages import quote, visible
from gmemsim.registry import Registry
from gmemsim.reports.views import cell
from gmemsim.results.provenance import VERSION
from gmemsim.scenario.format.settings import shown_settings
from gmemsim.studies.sweep import MADE, Plan, SweepRow

try:
    import fcntl
except ImportError:  # no POSIX: no lock
    fcntl = None  # type: ignore[assignment]

SECONDS_A_PART: Final = 20.0
"""After so long a part of a Parquet table is written: what a kill can lose."""

ROWS_A_PART: Final = 20_000
"""Rows of a part at most."""

TEMPORARY: Final = ".part.tmp"
"""The name of a part that is not complete."""

POINT, REFUSED = "point", "refused"

Cells = Sequence[str | float | None]


class _Form(Protocol):
    """One form of the table: ``columns`` of ``path``."""

    def __init__(self, path: Path, columns: Sequence[str], metrics: Sequence[str]) -> None: ...

    def read(self) -> Iterator[Cells]:
        """The rows that are there, and make it ready for more; ``ValueError`` if the columns are others."""
        ...

    def add(self, cells: Cells) -> None:
        """One more row."""
        ...

    def flush(self) -> None:
        """Hand over what is kept back."""
        ...

    def close(self) -> None:
        """No more rows."""
        ...


class _Csv:
    """A CSV file.  Text that a spreadsheet would compute gets a ``'`` before it."""

    def __init__(self, path: Path, columns: Sequence[str], metrics: Sequence[str]) -> None:
        self._columns = [str(cell(name)) for name in columns]
        self._metrics = {columns.index(metric) for metric in metrics}
        self._file = path.open("a+", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")

    def read(self) -> Iterator[Cells]:
        self._file.seek(0)
        end = 0
        first = True
        for line in iter(self._file.readline, ""):
            if not line.endswith("\n"):
                break  # cut off by a kill
            (cells,) = csv.reader([line])
            if first and cells != self._columns:
                raise ValueError(f"found other columns, {quote(', '.join(cells))}")
            if not first:
                yield [self._value(place, text) for place, text in enumerate(cells)]
            first = False
            end += len(line.encode())
        self._file.truncate(end)
        self._file.seek(0, os.SEEK_END)
        if first:
            self._writer.writerow(self._columns)

    def _value(self, place: int, text: str) -> str | float | None:
        if place not in self._metrics:
            return text
        return None if text == "" else float(text)

    def add(self, cells: Cells) -> None:
        self._writer.writerow(map(cell, cells))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class _Parquet:
    """A directory of Parquet files.  Metrics are float64, points int64, all else strings."""

    def __init__(self, path: Path, columns: Sequence[str], metrics: Sequence[str]) -> None:
        import pyarrow

        path.mkdir(exist_ok=True)
        self._folder = path
        kinds = {POINT: pyarrow.int64(), **dict.fromkeys(metrics, pyarrow.float64())}
        self._schema = pyarrow.schema([pyarrow.field(name, kinds.get(name, pyarrow.string())) for name in columns])
        self._rows: list[Cells] = []
        self._written = time.monotonic()

    def read(self) -> Iterator[Cells]:
        import pyarrow.parquet

        for part in sorted(self._folder.glob("part-*.parquet")):
            file = pyarrow.parquet.ParquetFile(part)
            names = file.schema_arrow.names
            if names != self._schema.names:
                raise ValueError(f"found other columns, {quote(', '.join(names))}")
            for batch in file.iter_batches():
                yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def add(self, cells: Cells) -> None:
        self._rows.append(cells)

    def flush(self) -> None:
        if len(self._rows) >= ROWS_A_PART or time.monotonic() - self._written >= SECONDS_A_PART:
            self._write()

    def _write(self) -> None:
        import pyarrow.parquet

        self._written = time.monotonic()
        if not self._rows:
            return
        columns = [list(column) for column in zip(*self._rows, strict=True)]
        table = pyarrow.table(dict(zip(self._schema.names, columns, strict=True)), schema=self._schema)
        number = len(list(self._folder.glob("part-*.parquet")))
        temporary = self._folder / TEMPORARY
        pyarrow.parquet.write_table(table, temporary, compression="zstd")
        temporary.rename(self._folder / f"part-{number:06}.parquet")
        self._rows.clear()

    def close(self) -> None:
        self._write()


def is_part(path: Path) -> bool:
    """Whether ``path`` is a part of a table in Parquet, finished or not."""
    return path.match("part-*.parquet") or path.name == TEMPORARY


FORMS: Registry[Callable[[Path, Sequence[str], Sequence[str]], _Form]] = Registry("table")
"""The forms of the table, by the suffix of its name."""

FORMS.add(".csv", _Csv)
FORMS.add(".parquet", _Parquet)


class SweepTable:
    """The table of ``plan`` at ``path``, made if it is not there; use :func:`opened`."""

    def __init__(self, path: Path, plan: Plan, form: _Form) -> None:
        self._path = path
        self._plan = plan
        self._form = form
        self._keys = len(plan.variations)
        self._made_by = _made_by(plan)
        self._places = _made_columns(plan)

    def rows(self) -> Iterator[tuple[int, SweepRow]]:
        """Places and rows that are there; :class:`InputError` if they are of another sweep."""
        try:
            for cells in self._form.read():
                yield self._row(cells)
        except (ValueError, OSError) as error:
            told = f"{error}, expected the table of this sweep, to go on with it"
            raise InputError([Fault(str(self._path), 0, 0, told)]) from None

    def _row(self, cells: Cells) -> tuple[int, SweepRow]:
        if len(cells) != 1 + self._keys + len(self._plan.metrics) + 1 + len(self._places) + len(self._made_by):
            raise ValueError(f"found a row of {len(cells)} cells")
        place = int(cells[0] or 0)
        if not 0 <= place < len(self._plan):
            raise ValueError(f"found point {place}")
        values = self._plan.values(place)
        if not all(map(_same, cells[1 : 1 + self._keys], values)):
            raise ValueError(f"found point {place} with other values")
        made_by = cells[len(cells) - len(self._made_by) :]
        for (name, wanted), found in zip(self._made_by.items(), made_by, strict=True):
            if not _same(found, wanted):
                raise ValueError(f"found {name} {quote(str(found))} in it, and here it is {quote(wanted)}")
        end = 1 + self._keys + len(self._plan.metrics)
        results = tuple(map(_number, cells[1 + self._keys : end]))
        if cells[end]:
            return place, SweepRow(values, results, str(cells[end]))
        varied = {variation.key: value for variation, value in zip(self._plan.variations, values, strict=True)}
        made = varied | {name: str(found) for name, found in zip(self._places, cells[end + 1 :], strict=False)}
        return place, SweepRow(values, results, made=tuple(made[name] for name in MADE))

    def add(self, place: int, row: SweepRow) -> None:
        """One more row, of the point at ``place``."""
        made = dict(zip(MADE, row.made or ("",) * len(MADE), strict=True))
        texts = map(_plain, (row.refused or "", *(made[name] for name in self._places), *self._made_by.values()))
        self._form.add([place, *map(_plain, row.values), *row.results, *texts])
        self._form.flush()


@contextmanager
def opened(path: Path, plan: Plan) -> Iterator[SweepTable]:
    """The table of ``plan`` at ``path``, whose suffix names its form (:data:`FORMS`), while it may grow.

    :class:`InputError` if it cannot be written, or if another sweep writes to it.
    """
    columns = (
        POINT,
        *(variation.key for variation in plan.variations),
        *plan.metrics,
        REFUSED,
        *_made_columns(plan),
        *_made_by(plan),
    )
    try:
        form = FORMS[path.suffix](path, columns, plan.metrics)
    except OSError as error:
        raise _wrong(path, f"found that it cannot be written ({error.strerror})") from None
    with contextlib.closing(form), _locked(path):
        yield SweepTable(path, plan, form)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Nobody else writes to ``path``.  Workers forked meanwhile share the lock, so closing it gives nothing back."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    except BlockingIOError:
        raise _wrong(path, "found another sweep writing to it, expected none") from None
    finally:
        os.close(descriptor)


def _wrong(path: Path, message: str) -> InputError:
    return InputError([Fault(str(path), 0, 0, message)])


def _made_columns(plan: Plan) -> tuple[str, ...]:
    """The columns of :attr:`SweepRow.made` that are not varied."""
    return tuple(name for name in MADE if name not in {variation.key for variation in plan.variations})


def _made_by(plan: Plan) -> dict[str, Any]:
    """What all rows of a table have in common."""
    settings = ", ".join(shown_settings(plan.settings))
    return {"gmemsim": VERSION, "scenario": plan.template.sha256, "set": _plain(settings)}


def _same(found: str | float | None, wanted: str) -> bool:
    """Whether a cell that was read is the one that is written for ``wanted``."""
    return found in (_plain(wanted), cell(_plain(wanted)))


def _number(value: str | float | None) -> float | None:
    """A metric's cell as a number, a whole one where it is."""
    if value is None:
        return None
    number = float(value)
    return int(number) if number.is_integer() else number


def _plain(text: str) -> str:
    """``text`` on one line: a row of a CSV file is a line."""
    return visible(text)
