# SPDX-License-Identifier: GPL-2.0-or-later
"""The compiled form: when it is used, when it is not, and that it is the one that was tested."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from gmemsim import compiled
from gmemsim.compiled import build

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


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the compiled form is looked for: nothing is there yet, and it is of one small module."""
    for module in (compiled, build):
        monkeypatch.setattr(module, "MODULES", ("gmemsim.garbage",))
        monkeypatch.setattr(module, "LIBRARY", tmp_path / "lib")
        monkeypatch.setattr(module, "STAMP", tmp_path / "lib" / "stamp")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.delenv("GMEMSIM_PURE", raising=False)
    return tmp_path / "lib"


def test_a_form_of_these_sources_is_imported_and_not_built_again(
    library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is built for real is tested by ``make test-compiled``."""
    made = library / "gmemsim" / f"garbage{compiled.SUFFIX}"
    made.parent.mkdir(parents=True)
    made.touch()
    (library / "stamp").write_text(compiled.stamp())
    assert build.main() == 0
    assert capsys.readouterr().out == "gmemsim: the compiled form is up to date\n"
    compiled.activate()
    assert compiled.form() == "compiled"
    spec = compiled._Finder().find_spec("gmemsim.garbage")
    assert spec is not None
    assert spec.origin == str(made)
    assert compiled._Finder().find_spec("gmemsim.units") is None
    assert compiled._Finder().find_spec("another__mypyc") is None


def test_an_older_form_is_not_used(library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    library.mkdir()
    (library / "stamp").write_text("of other sources")
    before = [*sys.meta_path]
    compiled.activate()
    assert sys.meta_path == before
    assert REQUIRED or "is older than the sources and is not used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lacks", "said"),
    [
        (lambda patch: patch.setenv("CC", "no-such-compiler -O2"), "the C compiler no-such-compiler"),
        (lambda patch: patch.setattr(sysconfig, "get_path", lambda name: "/nowhere"), "Python.h"),
        (lambda patch: patch.setitem(sys.modules, "mypyc.build", None), "the package mypyc.build"),
    ],
    ids=["compiler", "headers", "mypyc"],
)
def test_what_is_lacking_is_said_and_nothing_is_compiled(
    lacks: Callable[[pytest.MonkeyPatch], None],
    said: str,
    library: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    headers = library.with_name("include")
    headers.mkdir()
    (headers / "Python.h").touch()
    monkeypatch.setenv("CC", sys.executable)  # a program that is there: only what is taken away is lacking
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(headers))
    lacks(monkeypatch)
    assert build.main() == 0
    assert f"gmemsim: not compiled, {said}" in capsys.readouterr().err
    assert not library.is_dir()
