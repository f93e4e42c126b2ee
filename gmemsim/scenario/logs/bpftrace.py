# SPDX-License-Identifier: GPL-2.0-or-later
r"""``bpftrace``: what a one-liner prints on a running host, for every process that sets KVM's memory attributes.

KVM_SET_MEMORY_ATTRIBUTES is 0x4020aed2: _IOW(0xae, 0xd2, 32 bytes); address, size and attributes are the first three
64-bit words::

    bpftrace -q -e 'tracepoint:syscalls:sys_enter_ioctl /args->cmd == 0x4020aed2/ {
        $a = args->arg;
        printf("%d@%llu.%06llu:kvm_set_memory_attributes start 0x%llx size 0x%llx attributes 0x%llx\n",
            pid, nsecs / 1000000000, nsecs % 1000000000 / 1000,
            *(uint64 *)uptr($a), *(uint64 *)uptr($a + 8), *(uint64 *)uptr($a + 16)); }' > attributes.log

One attribute bit is private; a call with any other bit cannot be used.
"""

from __future__ import annotations

import re
from typing import Final

from gmemsim.gmem.guest import ATTRIBUTE_PRIVATE
from gmemsim.scenario.logs.reading import RANGE, LogFormat
from gmemsim.scenario.model import State


def _state(text: bytes) -> State | None:
    bits = int(text, 16)
    return None if bits & ~ATTRIBUTE_PRIVATE else "private" if bits else "shared"


BPFTRACE: Final = LogFormat(
    "bpftrace",
    mark=re.compile(rb"kvm_set_memory_attributes start "),
    event=re.compile(rb"kvm_set_memory_attributes" + RANGE + rb"attributes 0x(?P<to>[0-9a-fA-F]{1,16})\b"),
    state=_state,
)
