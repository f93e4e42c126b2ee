# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of a log that are read in one match say the same as when they are read like all others."""

from __future__ import annotations

import random
import re
from pathlib import Path

import attrs
import pytest

from gmemsim.errors import InputError
from gmemsim.scenario.logs.finding import LogFormat
from gmemsim.scenario.logs.formats import LOG_FORMATS
from gmemsim.scenario.logs.reading import Log
from gmemsim.scenario.logs.slots import SlotMap, default_slots
from gmemsim.scenario.logs.tally import Tally
from tests.scenario.logs import Conversion, usable

LINES = {
    "qemu": (
        b"1@5.%06d:kvm_convert_memory start 0x4000 size 0x1000 shared_to_private\n",
        b"7@5.%06d:Unkonwn start 0x4000 size 0x1000 private_to_shared\r\n",
    ),
    "bpftrace": (
        b"1@5.%06d:kvm_set_memory_attributes start 0x4000 size 0x1000 attributes 0x8\n",
        b"1@5.%06d:kvm_set_memory_attributes2 fd 9 offset 0x4000 size 0x1000 attributes 0x0 flags 0x0 errno 11"
        b" error_offset 0x4000\n",
    ),
}
INSERTED = (b"1@2.3:", b"kvm_convert_memory start ", b"\r", b" ", b"2025-11-18T10:20:00Z ")


def mutated(rng: random.Random, line: bytes) -> bytes:
    """``line`` with up to two changes."""
    text = bytearray(line)
    for _ in range(rng.choice((0, 0, 1, 2))):
        at = rng.randrange(len(text))
        text[at : at + rng.randrange(3)] = rng.choice((*INSERTED, b"", bytes([rng.choice(b"@:. \r\n0x9T1azk")])))
    return bytes(text)


def read(path: Path, form: LogFormat) -> tuple[list[Conversion], str, Tally]:
    """What the log holds, the error that ended it if any, and what was counted."""
    tally, found = Tally(), []
    try:
        for conversion in usable(Log(path=str(path), format=form), SlotMap(default_slots(1 << 30)), tally):
            found.append(conversion)
    except InputError as error:
        return found, str(error), tally
    return found, "", tally


@pytest.mark.parametrize("name", LINES)
def test_usual_lines_are_read_as_all_others(name: str, tmp_path: Path) -> None:
    rng, path = random.Random(5), tmp_path / "log"
    usual = LOG_FORMATS[name]
    general = attrs.evolve(usual)
    object.__setattr__(general, "lines", re.compile(usual.lines.pattern.replace(rb"(?:", rb"(?:(?!)", 1)))
    for _ in range(300):
        path.write_bytes(b"".join(mutated(rng, rng.choice(LINES[name]) % i) for i in range(rng.randrange(1, 6))))
        assert read(path, usual) == read(path, general), path.read_bytes()
