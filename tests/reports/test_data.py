# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import csv as reader
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gmemsim.host.work import Work
from gmemsim.reports.export import csv, jsonl, packing
from gmemsim.reports.views import View
from gmemsim.results.timeline import Event, Timeline

from . import fakes


def written(result: fakes.FakeResult, path: Path) -> list[dict[str, Any]]:
    jsonl.write(View(result), path)
    head, *told = [json.loads(line) for line in path.read_text().splitlines()]
    assert (head["type"], head["title"]) == ("run", result.summary["title"])
    return told


def test_samples_and_events_are_told_in_order(tmp_path: Path) -> None:
    told = written(fakes.headline(), tmp_path / "t.jsonl")
    kinds = "".join(line["type"][0] for line in told)
    assert kinds == "ssesseesses"
    assert [line["time_ns"] for line in told] == sorted(line["time_ns"] for line in told)


def test_a_sample_has_every_account_the_total_and_every_order(tmp_path: Path) -> None:
    sample = written(fakes.headline(), tmp_path / "t.jsonl")[1]
    assert list(sample) == ["type", "time_ns", *fakes.ACCOUNTS, "total", "folios.4K", "folios.2M", "folios.1G"]
    assert sample["filemap_nodes"] == 576
    assert sample["total"] == 576 + 256 + 16 * 4096
    assert sample["folios.1G"] == 2


def test_an_event_says_what_happened_and_what_it_cost(tmp_path: Path) -> None:
    result = fakes.headline()
    work = Work(nodes_allocated=4161, slots_written=7)
    result.timeline.event(
        Event(2_010_000_000, 9, 'last "one"', "convert", "vm0", 4096, 8192, "to shared", "ENOMEM", 4096, work)
    )
    assert written(result, tmp_path / "t.jsonl")[-1] == {
        "type": "event",
        "time_ns": 2_010_000_000,
        "step": 9,
        "id": 'last "one"',
        "kind": "convert",
        "guest": "vm0",
        "offset": 4096,
        "size": 8192,
        "detail": "to shared",
        "errno": "ENOMEM",
        "error_offset": 4096,
        "work": {"nodes_allocated": 4161, "slots_written": 7},
    }


def test_an_idle_run_is_one_sample(tmp_path: Path) -> None:
    assert [line["type"] for line in written(fakes.idle(), tmp_path / "t.jsonl")] == ["sample"]


def test_every_column_is_documented() -> None:
    for name in ("ACCOUNT", "total", "folios.ORDER", *(field.name for field in Event.__attrs_attrs__)):
        assert f"{name}`" in (jsonl.__doc__ or "") or f"*{name}*" in (jsonl.__doc__ or "")


def test_csv_has_the_samples_of_the_json_lines(tmp_path: Path) -> None:
    result = fakes.busy(200)
    csv.write(View(result), tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = [{name: int(value) for name, value in row.items()} for row in reader.DictReader(file)]
    samples = [line for line in written(result, tmp_path / "t.jsonl") if line.pop("type") == "sample"]
    assert rows == samples
    assert b"\r" not in (tmp_path / "t.csv").read_bytes()


def _unpacked(path: Path) -> bytes:
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    zstandard = pytest.importorskip("zstandard")
    with path.open("rb") as file:
        return bytes(zstandard.ZstdDecompressor().stream_reader(file).read())


@pytest.mark.parametrize("packing", packing.PACKINGS)
@pytest.mark.parametrize("write", [jsonl.write, csv.write, csv.write_events])
def test_a_packed_file_has_the_same_text_and_the_same_bytes_each_time(
    tmp_path: Path, packing: str, write: Callable[[View, Path], None]
) -> None:
    plain, packed, again = (tmp_path / name for name in ("t.txt", f"a.txt{packing}", f"b.txt{packing}"))
    for path in (plain, packed, again):
        write(View(fakes.headline()), path)
    assert _unpacked(packed) == plain.read_bytes() != b""
    assert packed.read_bytes() == again.read_bytes()
    assert packed.stat().st_size < plain.stat().st_size


def test_what_was_dropped_is_the_last_line(tmp_path: Path) -> None:
    timeline = Timeline(fakes.ACCOUNTS, fakes.ORDERS, keep=100)
    for number in range(300):
        timeline.sample(number, [number] * len(fakes.ACCOUNTS), [0] * len(fakes.ORDERS))
        timeline.event(Event(number, number, None, "convert", "vm0"))
    told = written(fakes.FakeResult(timeline, fakes.headline().summary), tmp_path / "t.jsonl")
    assert told[-1] == {"type": "dropped", "events": 300 - len(timeline.events), "samples": 300 - len(timeline)}
    assert [line["type"] for line in told].count("event") == len(timeline.events)
