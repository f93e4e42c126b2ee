# SPDX-License-Identifier: GPL-2.0-or-later
"""The pages of the documentation, as commands that run: ``python -m tests.readme [FILE…]`` writes today's outputs in.

Theory of operation
-------------------
A page is README.md or any Markdown file below docs/.  It is read from top to bottom in a folder of its own, which is
empty at first, so what one block has written the next one can read.  Of its fenced blocks these are carried out:

``console``
    A line that begins with ``$ `` is a command; it goes on in the next line if it ends in a backslash.  The lines up to
    the next command are its output, 80 columns wide, with what it says on standard error.  A command must end with 0,
    unless the next one is ``$ echo $?``, which shows the code.  What is plain ``gmemsim …`` runs in this process, all
    else (pipes, redirections, other programs) in bash.
``yaml`` that begins with the key ``gmemsim``
    A scenario: it runs with all invariants checked, and its expectations hold.
``python``
    Code that runs without an error; later blocks of a page know the names of earlier ones.

A block below a line ``<!-- file: NAME -->`` is not carried out: it is the content of the file ``NAME`` for the blocks
that follow.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from os import environ
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from gmemsim.cli.main import gmemsim
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.sim.run import run

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(
    r"(?:^<!-- file: (?P<file>[\w./-]+) -->\n+)?^```(?P<kind>\w+)[^\n]*\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
COMMAND = re.compile(r"^\$ ((?:[^\n]*\\\n)*[^\n]*)\n((?:(?!\$ )[^\n]*\n)*)", re.MULTILINE)
"""A command, with the lines that it goes on in, and its output."""

SHELL = set("|<>&;$`*(")
"""Characters that only a shell understands."""

ENVIRONMENT = {"COLUMNS": "80"}


class PageError(Exception):
    """A block of a page that cannot be carried out, and why."""


class Replay:
    """One page from top to bottom; it writes into the current folder, and ``names`` are those of its Python."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "page"}

    def block(self, match: re.Match[str]) -> str:
        """The block as it would be written today."""
        kind, body = match["kind"], match["body"]
        if match["file"]:
            path = Path(match["file"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body, encoding="utf-8")
        elif kind == "console":
            return match[0].replace(body, self.console(body))
        elif kind == "yaml" and body.startswith("gmemsim:"):
            if not run(parse_scenario(body), check=True).ok:
                raise PageError(f"an expectation of this scenario does not hold:\n{body}")
        elif kind == "python":
            exec(compile(body, "page", "exec"), self.names)
        return match[0]

    def console(self, body: str) -> str:
        """The commands of a block with their outputs of today."""
        commands = COMMAND.findall(body)
        if not commands or not body.startswith("$ "):
            raise PageError(f"a console block begins with a command, such as `$ gmemsim …`:\n{body}")
        made, code = [], 0
        for number, (command, _) in enumerate(commands):
            if command == "echo $?":
                made.append(f"$ {command}\n{code}\n")
                continue
            code, output = carried_out(command.replace("\\\n", " "))
            shown = number + 1 < len(commands) and commands[number + 1][0] == "echo $?"
            if code and not shown:
                raise PageError(f"`{command}` ends with {code}, and no `$ echo $?` follows:\n{output}")
            made.append(f"$ {command}\n{output}")
        return "".join(made)


def carried_out(command: str) -> tuple[int, str]:
    """Exit code and output of ``command``, without blanks at the ends of lines."""
    if command.startswith("gmemsim ") and not SHELL & set(command):
        done = CliRunner().invoke(gmemsim, shlex.split(command)[1:], env=ENVIRONMENT)
        code, output = done.exit_code, done.output
    else:
        python = shlex.quote(sys.executable)
        shim = f'python() {{ {python} "$@"; }}\ngmemsim() {{ python -m gmemsim "$@"; }}\nset -o pipefail\n{command}'
        python_path = f"{ROOT}{':' + environ['PYTHONPATH'] if environ.get('PYTHONPATH') else ''}"
        shell = subprocess.run(
            ["bash", "-c", shim],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**environ, **ENVIRONMENT, "PYTHONPATH": python_path},
            check=False,
        )
        code, output = shell.returncode, shell.stdout.decode()
    return code, "".join(f"{line.rstrip()}\n" for line in output.splitlines())


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Every fenced block of a page as it is, and as it would be written today."""
    replay = Replay()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for match in FENCE.finditer(text):
            yield match[0], replay.block(match)


def rewritten(text: str) -> str:
    """``text`` with the outputs of today."""
    made = iter([new for _, new in blocks(text)])
    return FENCE.sub(lambda match: next(made), text)


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:] or PAGES):
        page.write_text(rewritten(page.read_text(encoding="utf-8")), encoding="utf-8")
