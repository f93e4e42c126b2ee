# SPDX-License-Identifier: GPL-2.0-or-later
"""gmemsim as ``pip install`` puts it on a machine: the content of the built wheel, without the repository beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]


def built(folder: Path) -> str:
    """Build the wheel of pure Python into ``folder``; its path."""
    os.environ.pop("GMEMSIM_WHEEL", None)
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return wheel


def installed(folder: Path) -> Path:
    """Build the wheel and unpack it into ``folder``, as pip does; the folder to import from."""
    site = folder / "site-packages"
    with zipfile.ZipFile(built(folder / "dist")) as wheel:
        wheel.extractall(site)
    return site


def environment(site: Path, programs: Path) -> dict[str, str]:
    """The environment in which ``gmemsim`` is the installed one; ``programs`` is searched first.

    The command and the programs are put there.
    """
    programs.mkdir(exist_ok=True)
    command = programs / "gmemsim"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gmemsim "$@"\n')
    command.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return {**kept, "PYTHONPATH": str(site), "PATH": f"{programs}:{kept['PATH']}", "PYTHONDONTWRITEBYTECODE": ""}


def typed(line: str, folder: Path, variables: dict[str, str]) -> str:
    """What a ``line`` of bash prints in ``folder``; it must end well, and complain of nothing but by warnings."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    unexpected = [said for said in done.stderr.splitlines() if not said.startswith("warning: ")]
    assert (done.returncode, unexpected) == (0, []), line
    return done.stdout
