# SPDX-License-Identifier: GPL-2.0-or-later
"""``qemu``: the trace event of QEMU's conversions.

``kvm_convert_memory start 0x4000000 size 0x1000 shared_to_private`` (or ``private_to_shared``), with or without
``PID@SECONDS.MICROS:`` and other text before it; older builds print ``Unkonwn`` (sic) for the event's name.
"""

from __future__ import annotations

import re
from typing import Final

from gmemsim.scenario.logs.finding import RANGE, LogFormat
from gmemsim.scenario.model import State

_NAMES: Final = rb"(?:kvm_convert_memory|Unkonwn)"
_STATES: Final[dict[bytes, State]] = {b"shared_to_private": "private", b"private_to_shared": "shared"}

QEMU: Final = LogFormat(
    "qemu",
    mark=re.compile(_NAMES + rb" start "),
    event=re.compile(_NAMES + RANGE + rb"(?P<to>shared_to_private|private_to_shared)\b"),
    state=_STATES.get,
)
