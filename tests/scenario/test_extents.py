# SPDX-License-Identifier: GPL-2.0-or-later
"""How much of a guest a step is for: a size, ``all`` to the guest's end, one base page for a fault without any."""

from __future__ import annotations

from typing import Any

import pytest

from gmemsim.errors import InputError
from gmemsim.scenario import json_schema, parse_scenario
from gmemsim.scenario.model import Allocate, Convert, FaultIn, GuestSpec, HostSpec, Scenario
from gmemsim.sim.run import Run, run

K, M, G = 1 << 10, 1 << 20, 1 << 30

HEAD = """\
gmemsim: 1
host: {hugetlb: {1G: 1, 2M: 8}}
guests:
  - {name: vm, memory: 1G, backing: 1G}
  - {name: small, memory: 4M, backing: 2M, count: 2}
workload:
"""


def touched(*steps: str) -> list[tuple[str, int | None, int | None]]:
    """The guest, offset and size of every call that ``steps`` make."""
    text = HEAD + "".join(f"  - {step}\n" for step in steps)
    return [(event.guest or "", event.offset, event.size) for event in Run(parse_scenario(text))]


def fault_of(step: str) -> str:
    """The one line that is wrong with ``step``, without its place's file."""
    with pytest.raises(InputError) as caught:
        parse_scenario(f"{HEAD}  - {step}\n", source="x.yaml")
    (line,) = str(caught.value).splitlines()
    return line.removeprefix("x.yaml:")


def test_a_fault_without_a_size_touches_one_base_page() -> None:
    assert touched("fault: {guest: vm, offset: 8K}") == [("vm", 8 * K, 4 * K)]
    for page in (4 * K, 16 * K):
        guest = GuestSpec(name="vm", memory=64 * M, backing=32 * M if page > 4 * K else 2 * M)
        host = HostSpec(page_size=page, hugetlb={guest.backing: 32})
        workload = (FaultIn(guest="vm", offset=page),)
        scenario = Scenario(title="x", host=host, guests=(guest,), workload=workload)
        (event,) = run(scenario).timeline.events
        assert (event.offset, event.size, event.errno) == (page, page, None)


@pytest.mark.parametrize("step", ["allocate", "fault", "punch_hole", "unpin", "pin"])
def test_all_is_what_follows_the_offset(step: str) -> None:
    assert touched(f"{step}: {{guest: vm, offset: 512M, size: all}}") == [("vm", 512 * M, 512 * M)]
    assert touched(f"{step}: {{guest: vm, offset: 0, size: all}}") == [("vm", 0, G)]


def test_all_of_every_guest_is_each_ones_own() -> None:
    found = touched("convert: {guest: all, offset: 2M, size: all, to: shared}")
    assert found == [("vm", 2 * M, G - 2 * M), ("small-0", 2 * M, 2 * M), ("small-1", 2 * M, 2 * M)]


def test_all_in_python() -> None:
    guest = GuestSpec(name="vm", memory=4 * M, backing=2 * M)
    steps = (Allocate(guest="vm", offset=0, size="all"), Convert(guest="vm", offset=2 * M, size="all", to="shared"))
    found = run(Scenario(title="x", host=HostSpec(hugetlb={2 * M: 2}), guests=(guest,), workload=steps)).summary
    assert found["folios"]["2M"] == 1
    assert found["folios"]["4K"] == 512


@pytest.mark.parametrize(
    ("step", "first", "converted"),
    [
        ("psc: {guest: small-0, offset: 2M, size: all, to: shared}", 2 * M, 2 * M),
        ("mapgpa: {guest: small-0, offset: 2M, size: all, to: shared}", 2 * M, 2 * M),
        ("flip: {guest: small-0, offset: 2M, size: all, count: 1, interval: 1s}", 2 * M, 2 * M),
        ("scatter: {guest: small-0, offset: 2M, size: all, count: 512}", None, 4 * K),
        ("granule: {guest: small-0, offset: 2M, size: all, count: 1}", 2 * M, 2 * M),
        ("lazy_accept: {guest: small-0, offset: 2M, size: all}", 2 * M, 2 * M),
    ],
)
def test_all_of_a_generator(step: str, first: int | None, converted: int) -> None:
    found = touched(step)
    assert {size for _, _, size in found} == {converted}
    assert all(2 * M <= (offset or 0) < 4 * M for _, offset, _ in found)
    assert first in (None, found[0][1])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("fault: {guest: vm, offset: 1G}", "7:32: found a range that ends at 1048580K, expected at most"),
        ("pin: {guest: vm, offset: 0}", "7:10: found no key 'size', expected the step pin to have one"),
        ("pin: {guest: vm, offset: 1G, size: all}", "7:30: found an offset of 1G, expected less than the guest's 1G"),
        ("pin: {guest: all, offset: 4M, size: all}", "7:31: found an offset of 4M, expected less than the guest's 4M"),
        ("pin: {guest: vm, offset: 0, size: al}", "7:39: found 'al', expected a size with a unit, such as 4K or 1G"),
        ("psc: {guest: vm, offset: 1G, size: all, to: shared}", "7:30: found an end at 1G, expected at most"),
    ],
)
def test_what_does_not_fit(step: str, message: str) -> None:
    assert fault_of(step).startswith(message)


def test_the_schema_says_so() -> None:
    jsonschema: Any = pytest.importorskip("jsonschema")
    check = jsonschema.Draft202012Validator(json_schema())
    guest = {"name": "vm", "memory": "1G", "backing": "1G"}

    def valid(step: dict[str, Any]) -> bool:
        return bool(check.is_valid({"gmemsim": 1, "guests": [guest], "workload": [step]}))

    assert valid({"fault": {"guest": "vm", "offset": 0}})
    assert valid({"fault": {"guest": "vm", "offset": 0, "size": "all"}})
    assert valid({"psc": {"guest": "vm", "size": "all", "to": "shared"}})
    assert not valid({"pin": {"guest": "vm", "offset": 0}})
    assert not valid({"pin": {"guest": "vm", "offset": 0, "size": "everything"}})
