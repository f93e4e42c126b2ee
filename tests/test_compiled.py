# SPDX-License-Identifier: GPL-2.0-or-later
"""The compiled form: when it is used, when it is not, and that it is the one that was tested."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from gmemsim import compiled

REQUIRED = os.environ.get("GMEMSIM_COMPILED") == "required"
"""Whether the compiled form must be the one under test (``make test-compiled``)."""

SHOW = "import gmemsim.compiled as c, gmemsim.gmem.guest as guest; print(c.active(), guest.__file__)"


def python(code: str, root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "GMEMSIM_PURE"}
    where = {"PYTHONPATH": str(root)} | environment
    return subprocess.run(
        [sys.executable, "-c", code], env=clean | where, capture_output=True, text=True, check=True, cwd=root
    )


def copied(tmp_path: Path) -> Path:
    """A copy of the package, the compiled form in it if there is one."""
    package = Path(compiled.__file__).parents[1]
    shutil.copytree(package, tmp_path / "gmemsim", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.skipif(not REQUIRED, reason="only `make test-compiled` must run compiled")
@pytest.mark.parametrize("module", compiled.MODULES)
def test_what_is_tested_is_compiled(module: str) -> None:
    assert str(import_module(module).__file__).endswith(compiled.SUFFIX)


@pytest.mark.parametrize("module", compiled.MODULES)
def test_what_is_compiled_has_a_source(module: str) -> None:
    assert compiled.source_of(module).is_file()


def test_without_a_compiled_form_the_sources_are_used_in_silence(tmp_path: Path) -> None:
    root = copied(tmp_path)
    shutil.rmtree(root / "gmemsim" / "compiled" / "lib", ignore_errors=True)
    ended = python(SHOW, root)
    assert ended.stdout.split() == ["False", str(root / "gmemsim" / "gmem" / "guest.py")]
    assert ended.stderr == ""


def test_an_edited_source_is_never_shadowed(tmp_path: Path) -> None:
    root = copied(tmp_path)
    library = root / "gmemsim" / "compiled" / "lib"
    library.mkdir(exist_ok=True)
    (library / "stamp").write_text(compiled.stamp())
    with (root / "gmemsim" / "gmem" / "guest.py").open("a") as source:
        source.write("\n# edited\n")
    ended = python(SHOW, root)
    assert ended.stdout.split() == ["False", str(root / "gmemsim" / "gmem" / "guest.py")]
    assert ended.stderr.splitlines() == [
        "gmemsim: the compiled form is older than the sources and is not used; `make fast`"
    ]


@pytest.mark.skipif(not compiled.up_to_date(), reason="there is no compiled form of these sources: `make fast`")
def test_a_switch_turns_it_off(tmp_path: Path) -> None:
    root = copied(tmp_path)
    assert python(SHOW, root).stdout.startswith("True")
    ended = python(SHOW, root, GMEMSIM_PURE="1")
    assert ended.stdout.split() == ["False", str(root / "gmemsim" / "gmem" / "guest.py")]
