# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulated machine: boots the kernel that ``build.sh`` got, with a program, and reads what ``init.c`` answers.

QEMU's TCG is enough, so neither /dev/kvm nor a network is needed.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from attrs import field, frozen

BUILD: Final = Path(__file__).parent / "build"

MEMORY: Final = "8G"
"""Enough that a 1G range without anything in it exists once the kernel is up."""

TIMEOUT: Final = 900.0
"""Seconds after which a machine that does not power off counts as stuck."""

KERNEL_COMMAND_LINE: Final = "console=ttyS0 panic=-1 loglevel=1 nowatchdog"


class KernelError(Exception):
    """There is no kernel to boot, or it did not carry out its program."""


@frozen
class Answer:
    """What the kernel did for one operation.

    ``allocated`` and ``freed`` are addresses of XArray nodes, ``complaints`` what the kernel logged as a bug, and
    ``result`` a number that was asked for, or 0, or minus an errno.
    """

    operation: str
    allocated: tuple[str, ...] = ()
    freed: tuple[str, ...] = ()
    complaints: tuple[str, ...] = field(default=(), repr=False)
    result: int = 0


def image() -> str:
    """Which kernel ``build.sh`` got, in its words."""
    path = BUILD / "image"
    if not path.exists():
        raise KernelError("there is no kernel yet: run tests/kernel/build.sh")
    return path.read_text(encoding="utf-8").strip()


def boot(program: Sequence[str]) -> str:
    """Let the kernel carry out ``program``, and return what it printed.

    ``KernelError`` if there is no kernel, or if it did not come to the end of its program.
    """
    image()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        shutil.copytree(BUILD / "root", root)
        (root / "program").write_text("".join(f"{line}\n" for line in program), encoding="utf-8")
        names = "".join(f"{path.relative_to(root)}\n" for path in sorted(root.rglob("*")))
        command = ["cpio", "--create", "--format=newc", "--quiet"]
        archive = subprocess.run(command, cwd=root, input=names.encode(), capture_output=True, check=True)
        initrd = Path(folder) / "initrd"
        initrd.write_bytes(gzip.compress(archive.stdout, 1))
        return _emulate(Path(folder), initrd)


def _emulate(folder: Path, initrd: Path) -> str:
    console, answers = folder / "console", folder / "answers"
    command = [
        *("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-machine", "q35", "-smp", "2", "-m", MEMORY),
        *("-nodefaults", "-no-reboot", "-display", "none", "-serial", f"file:{console}", "-serial", f"file:{answers}"),
        *("-kernel", str(BUILD / "vmlinuz"), "-initrd", str(initrd), "-append", KERNEL_COMMAND_LINE),
    ]
    try:
        end = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except FileNotFoundError:
        raise KernelError("qemu-system-x86_64 is not installed: run tests/kernel/build.sh") from None
    except subprocess.TimeoutExpired:
        raise KernelError(f"the machine did not power off within {TIMEOUT:g} s") from None
    printed = answers.read_text(encoding="utf-8", errors="replace") if answers.exists() else ""
    if not printed.endswith("end\n"):
        log = console.read_text(encoding="utf-8", errors="replace").splitlines() if console.exists() else []
        raise KernelError("\n".join(["the kernel did not carry out the program:", end.stderr.strip(), *log[-5:]]))
    return printed


def read_answers(printed: str | Iterable[str]) -> list[Answer]:
    """The answers in what ``init.c`` printed."""
    lines = printed.splitlines() if isinstance(printed, str) else printed
    found: list[Answer] = []
    operation = ""
    allocated: list[str] = []
    freed: list[str] = []
    complaints: list[str] = []
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind == ">":
            operation, allocated, freed, complaints = rest, [], [], []
        elif kind == "+":
            allocated.append(rest)
        elif kind == "-":
            freed.append(rest)
        elif kind == "!":
            complaints.append(rest)
        elif kind == "=":
            found.append(Answer(operation, tuple(allocated), tuple(freed), tuple(complaints), int(rest)))
    return found
