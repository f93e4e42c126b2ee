# SPDX-License-Identifier: GPL-2.0-or-later
"""What a log holds as a whole: the same as pages that are followed one by one, and read once."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmemsim.scenario.files import open_without_waiting
from gmemsim.scenario.format.load import load_scenario
from gmemsim.scenario.logs import holding as holding_module
from gmemsim.scenario.logs import reading
from gmemsim.scenario.logs.formats import LOG_FORMATS
from gmemsim.scenario.logs.holding import Holding, NeverPrivate, last_time, read
from gmemsim.scenario.logs.reading import Log
from gmemsim.scenario.logs.slots import Slot
from gmemsim.sim.run import run

PAGE = 4096
SLOTS = (Slot(0, 8 * PAGE, 4 * PAGE), Slot(8 * PAGE, 4 * PAGE, 12 * PAGE), Slot(64 * PAGE, 4 * PAGE, 0))
"""Three slots; the first two continue each other, and the third is the beginning of the file."""

Events = list[tuple[int, int, bool]]
"""First page and number of pages in the first twelve of addresses, and whether they become private."""


def written(folder: Path, events: Events) -> Log:
    path = folder / "holding.log"
    path.write_text(
        "".join(
            f"1@{number}.000000:kvm_convert_memory start {first * PAGE:#x} size {size * PAGE:#x} "
            f"{'shared_to_private' if private else 'private_to_shared'}\n"
            for number, (first, size, private) in enumerate(events)
        )
    )
    return Log(path=str(path), format=LOG_FORMATS["qemu"])


def pages_of(holding: Holding) -> set[int]:
    return {page for start, end in holding.never_private for page in range(start // PAGE, end // PAGE)}


RANGES = st.integers(0, 11).flatmap(lambda first: st.tuples(st.just(first), st.integers(1, 12 - first), st.booleans()))


@given(st.lists(RANGES, max_size=12), st.sampled_from(("untouched", "shared")), st.sampled_from((1, 3, 8, 99)))
@settings(max_examples=200, deadline=None)
def test_the_same_as_page_by_page(
    tmp_path_factory: pytest.TempPathFactory, events: Events, never_private: NeverPrivate, at_once: int
) -> None:
    log = written(tmp_path_factory.mktemp("log"), events)
    with patch.object(holding_module, "_AT_ONCE", at_once):
        holding = read(log, SLOTS, PAGE, never_private)
    in_file = [(set(range(first + 4, first + 4 + size)), private) for first, size, private in events]
    untouched = set(range(16)).difference(*(pages for pages, private in in_file if private))
    shared = set(untouched) if never_private == "shared" else set()
    unchanged = []
    for pages, private in in_file:
        if pages.isdisjoint(shared) if private else pages <= shared:
            unchanged.append(private)
        shared = shared - pages if private else shared | pages
    assert pages_of(holding) == untouched
    assert holding.never_private_bytes == len(untouched) * PAGE
    assert (holding.unchanged, holding.unchanged_to_private) == (len(unchanged), sum(unchanged))
    assert [(offset // PAGE, size // PAGE, to == "private") for _, offset, size, to in holding.conversions] == [
        (first + 4, size, private) for first, size, private in events
    ]
    assert last_time(log) == max(len(events) - 1, 0) * 10**9


def test_a_log_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.yaml").write_text(
        "gmemsim: 1\nhost: {hugetlb: {2M: 1}}\nguests: [{name: vm0, memory: 2M, backing: 2M}]\n"
        "workload: [replay: {guest: vm0, file: holding.log, never_private: shared}]\n"
    )
    written(tmp_path, [(3, 2, False), (3, 1, True)])
    opened: list[str] = []

    def open_and_count(path: str, flags: int) -> int:
        opened.append(path)
        return open_without_waiting(path, flags)

    monkeypatch.setattr(reading, "open_without_waiting", open_and_count)
    done = run(load_scenario(tmp_path / "x.yaml")).summary
    assert done["conversions"]["succeeded"] == 4  # two of them share what the log never makes private
    assert len(opened) == 1
