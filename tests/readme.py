# SPDX-License-Identifier: GPL-2.0-or-later
"""The console blocks of README.md, as commands that run: `python -m tests.readme` writes what they print into it.

A block is fenced as ``console``; its first line is ``$ gmemsim …``, the rest is the command's output, 80 columns wide.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from gmemsim.cli.main import gmemsim

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"```console\n\$ gmemsim ([^\n]*)\n(.*?)```", re.DOTALL)


def output_of(arguments: str) -> str:
    """What ``gmemsim ARGUMENTS`` prints, without spaces at the ends of lines."""
    there = Path.cwd()
    os.chdir(ROOT)
    try:
        result = CliRunner().invoke(gmemsim, shlex.split(arguments), env={"COLUMNS": "80"})
    finally:
        os.chdir(there)
    assert result.exit_code == 0, result.output
    return "".join(f"{line.rstrip()}\n" for line in result.output.splitlines())


def blocks(text: str) -> list[tuple[str, str]]:
    """(arguments, recorded output) of every console block."""
    return BLOCK.findall(text)


def rewritten(text: str) -> str:
    """``text`` with the outputs of today."""
    return BLOCK.sub(lambda m: f"```console\n$ gmemsim {m[1]}\n{output_of(m[1])}```", text)


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text(encoding="utf-8")), encoding="utf-8")
