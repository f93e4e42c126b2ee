# SPDX-License-Identifier: GPL-2.0-or-later
"""Samples and events for data frames: the same in CSV and Parquet, and every column documented."""

from __future__ import annotations

import csv as reader
from pathlib import Path

import pytest

from gmemsim.host.work import COUNTERS
from gmemsim.reports.export import csv, tables

from . import views


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(reader.DictReader(file))


def test_every_column_is_documented() -> None:
    documentation = tables.__doc__ or ""
    for name in tables.EVENT_COLUMNS:
        assert f"``{name}``" in documentation or name in COUNTERS
    assert set(tables.EVENT_COLUMNS) == {*tables.TEXTS, *tables.NUMBERS, *tables.TIMES}


def test_events_have_what_happened_and_what_it_took(tmp_path: Path) -> None:
    view = views.view("everything")
    result = view.result
    csv.write_events(view, tmp_path / "e.csv")
    told = rows(tmp_path / "e.csv")
    assert len(told) == len(result.timeline.events)
    split = next(row for row in told if row["id"] == "first" and row["guest"] == "vm1")
    assert (split["kind"], split["detail"], split["offset"], split["size"]) == ("convert", "to shared", "0", "4096")
    assert (split["errno"], split["vmemmap_pages_restored"], split["folios_split"]) == ("", "7", "1")
    assert sum(float(row["modelled_ns"]) for row in told) == pytest.approx(result.summary["modelled_time_ns"]["total"])
    assert [row["errno"] for row in told].count("EAGAIN") == 2


@pytest.mark.parametrize("scenario", ["everything", "idle"])
def test_parquet_and_csv_have_the_same(scenario: str, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    from gmemsim.reports.export import parquet as writer

    view = views.view(scenario)
    for write, write_csv, name in (
        (writer.write, csv.write, "samples"),
        (writer.write_events, csv.write_events, "events"),
    ):
        write(view, tmp_path / f"{name}.parquet")
        write_csv(view, tmp_path / f"{name}.csv")
        table = parquet.read_table(tmp_path / f"{name}.parquet")
        told = [{key: "" if value is None else str(value) for key, value in row.items()} for row in table.to_pylist()]
        assert told == rows(tmp_path / f"{name}.csv")
        kinds = {field.name: str(field.type) for field in table.schema}
        assert set(kinds.values()) <= {"int64", "string", "double"}
        assert kinds["time_ns"] == "int64"
