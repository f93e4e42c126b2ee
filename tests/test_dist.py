# SPDX-License-Identifier: GPL-2.0-or-later
"""Sdist and wheel: the same package, all that is needed, the same bytes each time."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests import dist

pytest.importorskip("hatchling")


def test_what_is_built_is_whole_and_the_same_each_time(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert dist.faults(*dist.build(first)) == []
    dist.build(second)
    assert dist.differences(first, second) == []


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
