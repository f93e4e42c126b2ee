# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run says of its conversions beyond success and errno: those that changed nothing, and retries."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from gmemsim.errors import InputError
from gmemsim.reports.screen.run import render
from gmemsim.results.metrics import metric_value
from gmemsim.scenario import parse_scenario
from gmemsim.sim.run import Result, run

MS = 1_000_000

HEAD = """\
gmemsim: 1
host: {hugetlb: {2M: 16}, rcu_grace: 0}
guests: [{name: vm, memory: 8M, backing: 2M}, {name: pair, memory: 4M, backing: 2M, count: 2}]
workload:
"""


def result(*steps: str, allocate: bool = True) -> Result:
    first = ("allocate: {guest: all, offset: 0, size: all}",) if allocate else ()
    return run(parse_scenario(HEAD + "".join(f"  - {step}\n" for step in (*first, *steps))), check=True)


def shown(found: Result) -> str:
    """The screen, on one line."""
    console = Console(width=200)
    with console.capture() as captured:
        console.print(render(found))
    return " ".join(captured.get().split())


def conversions(*steps: str, allocate: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = result(*steps, allocate=allocate).summary["conversions"]
    return found


SHARE = "convert: {guest: vm, offset: 0, size: 8K, to: shared}"
PIN = "pin: {guest: vm, offset: 0, size: 4K}"
UNPIN = "unpin: {guest: vm, offset: 0, size: 4K}"
TAKE = "convert: {guest: vm, offset: 0, size: 8K, to: private, retry: {times: 3, delay: 10ms}}"


# -- nothing changed -------------------------------------------------------------------------------------------------


def test_conversions_that_change_nothing_are_counted() -> None:
    found = conversions(SHARE, SHARE, "convert: {guest: vm, offset: 4M, size: 4M, to: private}")
    assert found == {"requested": 3, "succeeded": 3, "failed": {}, "unchanged": 2}


def test_conversions_that_change_a_part_are_not() -> None:
    found = conversions(SHARE, "convert: {guest: vm, offset: 4K, size: 8K, to: shared}")
    assert found == {"requested": 2, "succeeded": 2, "failed": {}}


def test_the_screen_and_the_guests_say_so() -> None:
    found = result(SHARE, SHARE)
    assert "2 requested, 2 succeeded (1 changed nothing), 0 failed" in shown(found)
    assert [guest["conversions"].get("unchanged", 0) for guest in found.summary["guests"]] == [1, 0, 0]
    assert metric_value(found.summary, "conversions.unchanged") == 1


# -- memory that is not there ----------------------------------------------------------------------------------------


def test_a_conversion_of_memory_that_was_never_allocated_is_noted() -> None:
    one = "convert: {guest: vm, offset: 2M, size: 4K, to: shared}"
    there = "allocate: {guest: vm, offset: 0, size: 2M}"
    found = result(there, SHARE, one, allocate=False).summary
    (note,) = found["notes"]
    assert note.startswith("1 conversion was of memory that is not allocated")
    assert found["splits"] == {"2M->4K": 1}
    across = "convert: {guest: vm, offset: 0, size: 4M, to: shared}"
    assert result(there, across, one, allocate=False).summary["notes"][0].startswith("1 conversion was of")
    assert "notes" not in result(there, SHARE, allocate=False).summary


def test_base_pages_that_are_not_there_are_noted_too() -> None:
    text = """\
gmemsim: 1
guests: [{name: vm, memory: 1M, backing: 4K}]
workload:
  - convert: {guest: vm, offset: 0, size: 8K, to: shared}
  - fault: {guest: vm, offset: 0, size: 8K, by: host}
  - convert: {guest: vm, offset: 0, size: 8K, to: private}
"""
    (note,) = run(parse_scenario(text)).summary["notes"]
    assert note.startswith("1 conversion was of memory that is not allocated")


# -- trying again ----------------------------------------------------------------------------------------------------


def test_a_step_that_is_given_up() -> None:
    found = result(SHARE, PIN, TAKE, SHARE)
    assert found.summary["conversions"] == {
        "requested": 6,
        "succeeded": 2,
        "failed": {"EAGAIN": 4},
        "unchanged": 1,
        "retried": 3,
        "given_up": 1,
    }
    times = [event.time_ns for event in found.timeline.events if event.errno]
    assert times == [0, 10 * MS, 20 * MS, 30 * MS]
    assert found.timeline.events[-1].time_ns == 30 * MS  # what follows waits
    assert "3 tried again, 1 given up" in shown(found)


def test_a_step_that_succeeds_in_the_end() -> None:
    inject = "inject: {account: attributes, nth: 1}"
    found = conversions(inject, "convert: {guest: vm, offset: 0, size: 4K, to: shared, retry: {times: 1, delay: 0}}")
    assert found == {"requested": 2, "succeeded": 1, "failed": {"ENOMEM": 1}, "retried": 1}


def test_without_a_retry_nothing_is_given_up() -> None:
    assert conversions(SHARE, PIN, TAKE.replace(", retry: {times: 3, delay: 10ms}", ""))["failed"] == {"EAGAIN": 1}


def test_other_errors_are_not_tried_again() -> None:
    poison = "poison: {guest: vm, offset: 2M}"
    share = "convert: {guest: vm, offset: 2M, size: 4K, to: shared, retry: {times: 3, delay: 10ms}}"
    fault = "fault: {guest: vm, offset: 2M}"
    found = conversions(fault, poison, share)
    assert found["failed"] == {"EHWPOISON": 1}
    assert "retried" not in found
    assert "given_up" not in found


def test_an_expected_error_is_that_of_the_last_try() -> None:
    expected = TAKE.replace("retry:", "expect_error: {errno: EAGAIN, error_offset: 0}, retry:")
    assert result(SHARE, PIN, expected).ok
    inject = "inject: {account: attributes, nth: 1}"
    share = "convert: {guest: pair, offset: 0, size: 4K, to: shared, retry: {times: 1, delay: 1ms}"
    assert not result(inject, f"{share}, expect_error: {{errno: ENOMEM}}}}").ok


def test_the_guests_of_a_group_are_tried_again_one_by_one() -> None:
    share = "convert: {guest: pair, offset: 0, size: 8K, to: shared}"
    pins = "pin: {guest: pair, offset: 0, size: 4K}"
    take = TAKE.replace("guest: vm", "guest: pair")
    found = result(share, pins, "unpin: {guest: pair-1, offset: 0, size: 4K}", take).summary
    assert found["conversions"]["given_up"] == 1
    assert [guest["conversions"].get("retried", 0) for guest in found["guests"]] == [0, 3, 0]


def test_a_generator_goes_on_meanwhile() -> None:
    """The pin is dropped by another part while the first waits for its next try."""
    flip = "flip: {guest: vm, count: 2, interval: 100ms, offset: 4M, size: 4K, retry: {times: 2, delay: 30ms}}"
    inject = "inject: {account: attributes, nth: 1}"
    found = result(inject, flip)
    events = [(event.time_ns // MS, event.errno) for event in found.timeline.events if event.kind == "convert"]
    assert events == [(0, "ENOMEM"), (30, None), (100, None), (200, None), (300, None)]
    assert found.summary["conversions"]["retried"] == 1
    slow = flip.replace("30ms", "150ms")
    events = [(e.time_ns // MS, e.detail) for e in result(inject, slow).timeline.events if e.kind == "convert"]
    assert [time for time, _ in events] == [0, 100, 150, 200, 300]


def test_a_generator_ends_when_its_last_try_does() -> None:
    found = result(
        "inject: {account: attributes, nth: 1, mode: forever}",
        "swiotlb: {guest: vm, max: 2M, min: 2M, retry: {times: 4, delay: 5ms}}",
        "wait: {for: 1ms}",
    )
    assert found.timeline.events[-1].time_ns == 21 * MS
    assert found.summary["conversions"]["given_up"] == 1


def test_what_a_kexec_takes_back_is_tried_again() -> None:
    found = conversions(SHARE, PIN, "kexec: {guest: vm, duration: 0, retry: {times: 2, delay: 1ms}}")
    assert (found["retried"], found["given_up"]) == (2, 1)


@pytest.mark.parametrize(
    ("retry", "message"),
    [
        ("{times: 0, delay: 1ms}", "found '0', expected a whole number from 1"),
        ("{times: 1}", "found no key 'delay', expected a retry to have one"),
        ("{times: 1, delay: 3}", "found '3', expected a time with a unit"),
        ("3", "found '3', expected a retry with times, delay"),
    ],
)
def test_a_wrong_retry(retry: str, message: str) -> None:
    for step in (TAKE, "flip: {guest: vm, count: 1, interval: 1s, retry: {times: 3, delay: 10ms}}"):
        with pytest.raises(InputError) as caught:
            parse_scenario(HEAD + f"  - {step.replace('{times: 3, delay: 10ms}', retry)}\n", source="x.yaml")
        (line,) = str(caught.value).splitlines()
        assert line.startswith("x.yaml:5:")
        assert message in line
