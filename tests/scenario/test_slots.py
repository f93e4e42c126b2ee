# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory slots: the defaults of a q35 machine, their notation, and what cannot be."""

from __future__ import annotations

import pytest

from gmemsim.scenario.logs.slots import Slot, default_slots, parse_slot, slot_problems
from gmemsim.scenario.machine import MACHINES

K, M, G = 1 << 10, 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("memory", "slots"),
    [
        (G, ["0:1G:0"]),
        (2815 * M, ["0:2815M:0"]),
        (2816 * M, ["0:2G:0", "4G:768M:2G"]),
        (16 * G, ["0:2G:0", "4G:14G:2G"]),
    ],
)
def test_a_q35_machine_has_a_hole_below_4g(memory: int, slots: list[str]) -> None:
    made = default_slots(memory)
    assert [str(slot) for slot in made] == slots
    assert list(slot_problems(made, memory, 4 * K)) == []
    assert sum(slot.size for slot in made) == memory


@pytest.mark.parametrize(
    ("memory", "slots"),
    [
        (3583 * M, ["0:3583M:0"]),
        (3584 * M, ["0:3G:0", "4G:512M:3G"]),
        (16 * G, ["0:3G:0", "4G:13G:3G"]),
    ],
)
def test_a_pc_has_its_hole_higher_up(memory: int, slots: list[str]) -> None:
    assert [str(slot) for slot in default_slots(memory, "pc")] == slots


@pytest.mark.parametrize("machine", ["q35", "pc"])
@pytest.mark.parametrize("end", [4 * K, 2 * G, 2 * G + 4 * K, 3 * G, 3583 * M, 4 * G - 4 * K, 4 * G + 4 * K, 18 * G])
def test_the_memory_that_holds_an_address(machine: str, end: int) -> None:
    def held(memory: int) -> bool:
        return any(slot.gpa <= end - 4 * K < slot.gpa + slot.size for slot in default_slots(memory, machine))

    needed = MACHINES[machine].memory_for(end)
    if needed is None:
        assert not any(held(memory * M) for memory in range(2, 20 << 10, 64))
    else:
        assert held(needed)
        assert needed == MACHINES[machine].limit or not held(needed - 4 * K)


@pytest.mark.parametrize("text", ["4G:14G:2G", "0x100000000:0x380000000:0x80000000", "4G:14336M:0X80000000"])
def test_notations(text: str) -> None:
    assert parse_slot(text) == Slot(4 * G, 14 * G, 2 * G)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("4G:14G", "found '4G:14G', expected GPA:SIZE:OFFSET, such as 4G:14G:2G"),
        ("4G:14G:2", "found '2', expected a size with a unit"),
        ("0xfg:14G:2G", "found '0xfg', expected hexadecimal digits after 0x"),
        ("0:0:0", "found '0:0:0', expected a size of more than 0"),
    ],
)
def test_other_notations(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=r"^found") as caught:
        parse_slot(text)
    assert str(caught.value).startswith(fault)


@pytest.mark.parametrize(
    ("slots", "faults"),
    [
        ([], ["found no slots, expected at least one, or none given for those of a q35 machine"]),
        (
            ["0:2G:0", "1G:1G:4G"],
            ["found slots 0:2G:0 and 1G:1G:4G, which overlap in addresses, expected each address in one"],
        ),
        (
            ["0:2G:0", "4G:1G:1G"],
            ["found slots 0:2G:0 and 4G:1G:1G, which overlap in the file, expected each offset in one"],
        ),
        (["0:9G:0"], ["found slot 0:9G:0, which ends at 9G, expected at most the guest's 8G"]),
        (["1K:1G:0"], ["found 1K in slot 1K:1G:0, expected a multiple of the page size 4K"]),
    ],
)
def test_what_cannot_be(slots: list[str], faults: list[str]) -> None:
    assert list(slot_problems([parse_slot(text) for text in slots], 8 * G, 4 * K)) == faults
