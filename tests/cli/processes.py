# SPDX-License-Identifier: GPL-2.0-or-later
"""The command in a process of its own, to be sent signals."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

COMMAND = (sys.executable, "-m", "gmemsim")


def _notice_ctrl_c() -> None:
    """Undo that a shell lets its background jobs ignore SIGINT: the test may run in one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interruptible(arguments: Sequence[str]) -> subprocess.Popen[str]:
    """A process of ``arguments`` that SIGINT ends, with a pipe to each of its three streams."""
    return subprocess.Popen(
        arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_notice_ctrl_c,
    )


def ended(process: subprocess.Popen[str]) -> None:
    """Wait until the process has ended; one that does not is killed, and ``TimeoutExpired`` raised."""
    try:
        process.wait(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
