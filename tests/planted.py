# SPDX-License-Identifier: GPL-2.0-or-later
"""Bugs put into a copy of the sources, to see that a test notices them.

A bug is text that replaces other text of one file.  It works on sources only, so nothing is patched in memory and the
compiled form is never involved.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run_with_bug(tmp_path: Path, file: str, right: str, wrong: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` with a copy of gmemsim in which ``right``, which ``file`` has exactly once, is ``wrong``."""
    return run_with_bugs(tmp_path, [(file, right, wrong)], code)


def run_with_bugs(tmp_path: Path, edits: Iterable[tuple[str, str, str]], code: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` with a copy of gmemsim changed by ``edits``: (file, what it has exactly once, what it gets)."""
    shutil.copytree(ROOT / "gmemsim", tmp_path / "gmemsim", ignore=shutil.ignore_patterns("__pycache__"))
    for file, right, wrong in edits:
        place = tmp_path / "gmemsim" / file
        source = place.read_text(encoding="utf-8")
        assert source.count(right) == 1, f"{file} has {right!r} {source.count(right)} times"
        place.write_text(source.replace(right, wrong), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "GMEMSIM_PURE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
