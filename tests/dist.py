# SPDX-License-Identifier: GPL-2.0-or-later
"""What is given away: ``python -m tests.dist FOLDER`` builds sdist and wheel there and checks both (``make dist``).

* The same sources give the same bytes: everything is built twice.  Times in the archives are ``SOURCE_DATE_EPOCH``, or
  hatchling's own constant.
* The wheel holds exactly the package that the sdist holds, byte for byte, and its licence.
* The sdist holds what its own tests and targets need; its own tests are run from it (:data:`OWN_TESTS`).
* Each pinned version can be had for each supported Python, where a package index answers.
"""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tests.unpacking import unpack

ROOT = Path(__file__).parent.parent

NEEDED = (
    *("Makefile", "pyproject.toml", "constraints.txt", ".ci/run", ".ci/wheel_hook.py", ".gitignore"),
    *("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff"),
    *("scenarios/rfc-cover.yaml", "docs/DOMAIN.md", "tests/conftest.py", "tests/oracle/build.sh"),
)
"""What the targets and the tests of an sdist need, some of each kind; notebooks are asked for as such."""

PACKAGE = ("gmemsim/", "scenarios/")
"""What of an sdist a wheel holds; the scenarios lie within the package there."""

OWN_TESTS = (
    *("tests/host", "tests/gmem/test_inode.py", "tests/gmem/test_ranges.py", "tests/gmem/test_parity.py"),
    *("tests/xarray/test_array.py", "tests/xarray/parity/test_parity.py", "tests/scenario/test_load.py"),
    *("tests/test_repository.py", "tests/test_additions.py", "tests/test_api.py", "tests/test_run.py"),
    *("tests/reports/test_registries.py", "tests/cli/test_main.py", "tests/cli/test_scenarios.py"),
)
"""Tests that run from the unpacked sdist: some of every floor of the house, and the rules of the repository."""

PYTHONS = ("3.11", "3.12", "3.13")
"""Every supported Python, as ``pyproject.toml`` names them."""

NO_INDEX = ("NewConnectionError", "ConnectTimeoutError", "Max retries", "connection broken", "ProxyError", "timed out")
"""What pip says of an index that does not answer."""


def build(folder: Path) -> tuple[Path, Path]:
    """Sdist and pure wheel of this tree in ``folder``, which has neither."""
    environment = os.environ | {"GMEMSIM_WHEEL": "pure"}
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def unpacked(sdist: Path) -> dict[str, bytes]:
    """The files of an sdist, relative to its own folder."""
    files = {}
    with tarfile.open(sdist) as archive:
        for member in archive:
            if (stream := archive.extractfile(member)) is not None:
                files[member.name.partition("/")[2]] = stream.read()
    return files


def faults(sdist: Path, wheel: Path) -> list[str]:
    """What is wrong with the two, a line each."""
    source = unpacked(sdist)
    with zipfile.ZipFile(wheel) as archive:
        built = {name: archive.read(name) for name in archive.namelist()}
    package = {
        name if name.startswith("gmemsim/") else f"gmemsim/{name}": data
        for name, data in source.items()
        if name.startswith(PACKAGE)
    }
    held = {name: data for name, data in built.items() if name.startswith("gmemsim/")}
    lines = [f"the sdist lacks {name}" for name in NEEDED if name not in source]
    if not any(name.startswith("notebooks/") and name.endswith(".ipynb") for name in source):
        lines.append("the sdist lacks notebooks")
    if not any(name.endswith("/LICENSE") for name in built):
        lines.append("the wheel lacks its licence")
    unlike = {name for name, _ in package.items() ^ held.items()}
    lines += [f"{name} is not the same in sdist and wheel" for name in sorted(unlike)]
    return lines


def differences(folder: Path, other: Path) -> list[str]:
    """Which files of two folders with files of the same names are not the same, byte for byte."""
    names = [path.name for path in folder.iterdir()]
    return sorted(set(names) - set(filecmp.cmpfiles(folder, other, names, shallow=False)[0]))


def run_own_tests(sdist: Path, tests: Sequence[str] = OWN_TESTS) -> int:
    """Run some of the tests of an sdist from its own folder; pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(sdist) as archive:
            unpack(archive, folder)
        (root,) = Path(folder).iterdir()
        environment = os.environ | {"PYTHONPATH": str(root)}
        # An sdist never has the kernel's source, so its tests cannot be required to ask it.
        environment.pop("GMEMSIM_ORACLE", None)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
        return subprocess.run(command, cwd=root, env=environment, check=False).returncode


def missing_pins(python: str) -> list[str] | None:
    """What pip says of pinned versions that this Python cannot have; None if no package index answers.

    The interpreter is not needed: pip is asked for wheels for it, and installs nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = ["--dry-run", "--no-deps", "--ignore-installed", "--target", folder, "--only-binary=:all:", "-qq"]
        which = ["--python-version", python, "--requirement", "constraints.txt", "--disable-pip-version-check"]
        command = [sys.executable, "-m", "pip", "install", *options, *which]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode and any(words in done.stderr for words in NO_INDEX):
        return None
    return done.stderr.strip().splitlines() if done.returncode else []


def check_pins() -> list[str]:
    """What is wrong with the pinned versions, a line each; says so where nothing can be checked."""
    wrong = []
    for python in PYTHONS:
        missing = missing_pins(python)
        if missing is None:
            sys.stdout.write(f"dist: pinned versions for Python {python}: not checked, no package index answers\n")
        elif not missing:
            sys.stdout.write(f"dist: pinned versions for Python {python}: each can be had\n")
        else:
            wrong += [f"pinned versions for Python {python}: {line}" for line in missing]
    return wrong


def main(folder: Path) -> int:
    """Build, check, say what is wrong; 0 if nothing is."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        sdist, wheel = build(Path(first))
        build(Path(second))
        wrong = [f"{name} is not the same when it is built again" for name in differences(Path(first), Path(second))]
        wrong += faults(sdist, wheel) + check_pins()
        for line in wrong:
            sys.stderr.write(f"dist: {line}\n")
        if wrong or run_own_tests(sdist):
            return 1
        for made in (sdist, wheel):
            (folder / made.name).write_bytes(made.read_bytes())
            sys.stdout.write(f"{folder / made.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
