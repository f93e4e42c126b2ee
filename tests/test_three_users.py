# SPDX-License-Identifier: GPL-2.0-or-later
"""Three users walk in: the wheel in an environment of its own, in an empty folder, along the three ways of the README.

What is typed is taken from the README, and pip fetches what the wheel needs; where there is no index the walk is
skipped.  The environment does not know the repository.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.wheel import ROOT, built, typed

README = (ROOT / "README.md").read_text(encoding="utf-8")
WAYS = README.partition("\n## Three ways in\n")[2].partition("\n## ")[0]


class User:
    """Someone in an empty ``folder``, whose programs are those of an environment of their own."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "PYTHON"))}
        self._environment = {**kept, "PATH": f"{programs}:{kept['PATH']}", "COLUMNS": "80", "GMEMSIM_PURE": "1"}

    def types(self, line: str) -> str:
        """What a command of bash prints; it must end well and complain of nothing."""
        return typed(line, self.folder, self._environment)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment into which pip has installed the wheel, and pytest."""
    folder = tmp_path_factory.mktemp("installed")
    wheel = built(folder / "dist")
    venv.create(folder / "environment")
    found = folder / "environment" / ("Scripts" if sys.platform == "win32" else "bin")
    options = ["-q", "--disable-pip-version-check", "--no-compile", "--constraint", str(ROOT / "constraints.txt")]
    install = [sys.executable, "-m", "pip", "--python", str(found / "python"), "install", *options]
    done = subprocess.run([*install, wheel, "pytest"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"pip cannot install what gmemsim needs: {done.stderr.strip().splitlines()[-1]}")
    return found


@pytest.fixture
def user(programs: Path, tmp_path: Path) -> User:
    user = User(tmp_path, programs)
    where = user.types("python -c 'import gmemsim; print(gmemsim.__file__)'")
    assert str(ROOT) not in where
    return user


def commands(text: str) -> list[str]:
    """The commands of gmemsim in ``text``, in backquotes or indented."""
    return [
        " ".join((quoted or indented).split())
        for quoted, indented in re.findall(r"`(gmemsim [^`]+)`|^    (gmemsim .+)$", text, re.MULTILINE)
    ]


def way(who: str) -> str:
    """The paragraph of the README for the user who is addressed so."""
    (found,) = [part for part in WAYS.split("\n- ") if part.strip(" -\n").startswith(f"**{who}")]
    return found


def test_the_two_commands(user: User) -> None:
    block = README.partition("\n## Two commands\n")[2].partition("\n## ")[0]
    install, *typed = re.findall(r"^    (\S.*)$", block, re.MULTILINE)
    assert install.startswith("pip install ")
    for line in typed:
        user.types(line)
    assert (user.folder / "picture.png").read_bytes()[:4] == b"\x89PNG"
    assert "rfc-cover" in user.types("gmemsim examples")


def test_a_kernel_engineer(user: User) -> None:
    typed = commands(way("You work on the kernel"))
    assert len(typed) >= 3
    shown = {line: user.types(line) for line in typed}
    assert "4,161" in shown["gmemsim explain split 1G 4K"]
    assert any(line.startswith("| b-today ") for line in "\n".join(shown.values()).splitlines())
    assert "b-today" in user.types("gmemsim compare scenario.yaml")


def test_who_operates_hosts(user: User) -> None:
    log = ROOT / "scenarios" / "replay-qemu.log"
    (user.folder / "conversions.log").write_bytes(log.read_bytes())
    typed = commands(way("You run such hosts"))
    assert [line.split()[1] for line in typed] == ["import", "budget"]
    shown = [user.types(line) for line in typed]
    assert "wrote guest.yaml" in shown[0]
    assert "40 copies of the guest vm0" in shown[1]


def test_who_writes_tests(user: User) -> None:
    text = way("You write Python or tests")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (user.folder / "test_conversion.py").write_text(re.sub(r"^  ", "", code, flags=re.MULTILINE))
    (line,) = re.findall(r"`(pytest[^`]*)`", text)
    assert "1 passed" in user.types(line)
