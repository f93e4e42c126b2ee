# SPDX-License-Identifier: GPL-2.0-or-later
"""Sdist and wheel: the same package, all that is needed, the same bytes each time."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests import audit, dist

pytest.importorskip("hatchling")


def test_what_is_built_is_whole_and_the_same_each_time(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert dist.faults(*dist.build(first)) == []
    dist.build(second)
    assert dist.differences(first, second) == []


def test_an_sdist_has_no_kernel_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What asks the kernel's source is skipped there, also where this tree's own tests must not skip it."""
    monkeypatch.setenv("GMEMSIM_ORACLE", "required")
    assert dist.run_own_tests(dist.build(tmp_path)[0], ["tests/xarray/parity/test_parity.py"]) == 0


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    sdist, wheel = tmp_path / "x.tar.gz", tmp_path / "x.whl"
    with tarfile.open(sdist, "w:gz") as archive:
        for name in ("x-1/Makefile", "x-1/gmemsim/a.py", "x-1/notebooks/n.ipynb"):
            member = tarfile.TarInfo(name)
            member.size = 1
            archive.addfile(member, io.BytesIO(b"1"))
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("gmemsim/a.py", "2")
        packed.writestr("x-1.dist-info/licenses/LICENSE", "free")
    found = dist.faults(sdist, wheel)
    assert "gmemsim/a.py is not the same in sdist and wheel" in found
    assert {"the sdist lacks LICENSE", "the sdist lacks .ci/wheel_hook.py"} <= {*found}
    assert not [line for line in found if "Makefile" in line or "notebooks" in line or "wheel lacks" in line]
    assert dist.differences(tmp_path, tmp_path) == []


def test_every_supported_python_is_asked_for() -> None:
    text = (dist.ROOT / "pyproject.toml").read_text()
    assert tuple(re.findall(r"Programming Language :: Python :: (3\.[0-9]+)", text)) == dist.PYTHONS


@pytest.mark.parametrize(
    ("code", "said", "lines", "line"),
    [
        (0, "", [], "Python 3.11: each can be had"),
        (1, "Max retries exceeded with url", [], "Python 3.11: not checked, no package index answers"),
        (1, "ERROR: No matching distribution found for x==9", ["ERROR: No matching distribution found for x==9"], ""),
    ],
)
def test_what_pip_says_of_pinned_versions(
    code: int,
    said: str,
    lines: list[str],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = subprocess.CompletedProcess([], code, "", said)
    monkeypatch.setattr(dist, "PYTHONS", ("3.11",))
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: answer)
    assert dist.check_pins() == [f"pinned versions for Python 3.11: {one}" for one in lines]
    assert line in capsys.readouterr().out


CLEAN = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "X-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "c", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "error", "status", "line"),
    [
        ([CLEAN], "", 0, "audit: 1 of 1 pinned versions looked up, 0 vulnerabilities known\n"),
        ([CLEAN, BAD], "", 1, "looked up, 1 vulnerabilities known\nb 2: X-1, fixed in 3\n"),
        (
            [CLEAN, UNKNOWN],
            "",
            0,
            "audit: 1 of 2 pinned versions looked up, 0 vulnerabilities known\nnot looked up: c\n",
        ),
        ([UNKNOWN], "", 2, "audit: not done: what answers for PyPI knows none of the 1 pinned versions\n"),
        (None, "requests.exceptions.ProxyError: Max retries exceeded", 2, "audit: not done: the database of"),
        (None, "No module named pip_audit", 1, "No module named pip_audit"),
    ],
)
def test_what_pip_audit_says(
    packages: list[dict[str, object]] | None,
    error: str,
    status: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = "" if packages is None else json.dumps({"dependencies": packages})
    answer = subprocess.CompletedProcess([], 1, told, error)
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: answer)
    assert audit.main() == status
    said = capsys.readouterr()
    assert line in said.out + said.err
