# SPDX-License-Identifier: GPL-2.0-or-later
"""``bpftrace``: what ``recording/gmem.bt`` prints on a running host, for every process that sets memory attributes.

Theory of operation
-------------------
Two ioctls do it (DOMAIN.md section 10).  KVM_SET_MEMORY_ATTRIBUTES, 0x4020aed2, is a call on a VM with guest-physical
addresses; KVM_SET_MEMORY_ATTRIBUTES2, 0xc080aed2, one on a guest_memfd with offsets, so that its descriptor tells which
guest_memfd is meant.  The script prints, when a call returns::

    PID@SECONDS.NS:kvm_set_memory_attributes fd 12 start 0x.. size 0x.. attributes 0x.. flags 0x.. errno 0
    PID@SECONDS.NS:kvm_set_memory_attributes2 fd 14 offset 0x.. size 0x.. attributes 0x.. flags 0x.. errno 11
        error_offset 0x..

(the last two are one line).  Older recordings have only ``kvm_set_memory_attributes start 0x.. size 0x.. attributes
0x..``.  One attribute bit is private; a call with any other bit cannot be used.

What may live here: how the script's lines are read.  The script and this module change together
(``tests/scenario/test_recording.py`` compares them).
"""

from __future__ import annotations

import re
from typing import Final

from gmemsim.gmem.guest import ATTRIBUTE_PRIVATE
from gmemsim.scenario.logs.finding import Details, LogFormat
from gmemsim.scenario.model import State


def _state(text: bytes) -> State | None:
    bits = int(text, 16)
    return None if bits & ~ATTRIBUTE_PRIVATE else "private" if bits else "shared"


def _details(fd: bytes, kind: bytes, flags: bytes, errno: bytes, stopped: bytes) -> Details:
    return Details(
        fd=int(fd) if fd else None,
        in_file=kind == b"offset",
        flags=int(flags or b"0", 16),
        errno=int(errno or b"0"),
        stopped=int(stopped, 16) if stopped else None,
    )


_HEX: Final = rb"0x(?P<%b>[0-9a-fA-F]{1,16})\b"

BPFTRACE: Final = LogFormat(
    "bpftrace",
    mark=re.compile(rb"kvm_set_memory_attributes2? (?:fd|start|offset) "),
    event=re.compile(
        rb"kvm_set_memory_attributes2?(?: fd (?P<fd>\d{1,10}))? (?P<kind>start|offset) "
        + rb" ".join([_HEX % b"start", b"size", _HEX % b"size", b"attributes", _HEX % b"to"])
        + rb"(?: flags "
        + _HEX % b"flags"
        + rb")?"
        rb"(?: errno (?P<errno>\d{1,4})\b)?"
        rb"(?: error_offset " + _HEX % b"stopped" + rb")?"
    ),
    state=_state,
    more=("fd", "kind", "flags", "errno", "stopped"),
    details=_details,
)
