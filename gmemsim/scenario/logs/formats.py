# SPDX-License-Identifier: GPL-2.0-or-later
"""The formats of logs, a row each."""

from __future__ import annotations

from typing import Final

from gmemsim.registry import Registry
from gmemsim.scenario.logs.bpftrace import BPFTRACE
from gmemsim.scenario.logs.finding import LogFormat
from gmemsim.scenario.logs.qemu import QEMU

LOG_FORMATS: Final[Registry[LogFormat]] = Registry("log format")

for _format in (QEMU, BPFTRACE):
    LOG_FORMATS.add(_format.name, _format)
