# SPDX-License-Identifier: GPL-2.0-or-later
"""Signals during an import, where Python drops or changes what a handler raises."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.processes import ended, interruptible

SCRIPT = """
import signal, sys
from gmemsim.cli import signals

sys.path.append(sys.argv[1])
signals.raises(signal.SIGINT, KeyboardInterrupt)
try:
    import disturbed
    sys.stdout.write("imported\\n")  # at once, so that nothing comes between it and its end
    sys.stdin.read()
except KeyboardInterrupt as error:
    print("interrupted", type(error).__name__)
"""

DISTURB = "import os, signal\ndef disturb(*_):\n    os.kill(os.getpid(), signal.SIGINT)\n"

DROPPED = "import weakref\nclass Lock: pass\nlock = Lock()\nheld = weakref.ref(lock, disturb)\ndel lock\n"

CHANGED = "class Field: __set_name__ = disturb\nclass Owner: field = Field()\n"

TWICE = "disturb()\ndisturb()\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (DROPPED, "imported\ninterrupted KeyboardInterrupt\n"),
        (CHANGED, "imported\ninterrupted KeyboardInterrupt\n"),
        (TWICE, "interrupted KeyboardInterrupt\n"),
    ],
)
def test_a_signal_during_an_import_is_raised_after_it_and_a_second_one_at_once(
    body: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "disturbed.py").write_text(DISTURB + body)
    with interruptible([sys.executable, "-c", SCRIPT, str(tmp_path)]) as process:
        ended(process)  # its input stays open, so that only the signal ends it
        assert process.stdout is not None
        assert process.stderr is not None
        assert (process.stdout.read(), process.stderr.read()) == (said, "")
    assert process.returncode == 0
