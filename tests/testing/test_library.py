# SPDX-License-Identifier: GPL-2.0-or-later
"""gmemsim as a library: what ``import gmemsim`` gives, how light it is, and a script of ten lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gmemsim
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.policy import Policy
from gmemsim.host.host import Host
from gmemsim.scenario.format.load import load_scenario
from gmemsim.sim.run import Result
from gmemsim.xarray import XArray

SCENARIO = Path(__file__).parents[2] / "scenarios" / "rfc-cover.yaml"

SCRIPT = """\
import gmemsim, matplotlib.pyplot as plt
for split in ("uniform", "staged", "nonuniform"):
    host = gmemsim.Host(hugetlb={1 << 30: 1})
    guest = gmemsim.GuestMemfd(host, "vm0", size=1 << 30, backing=1 << 30, policy=gmemsim.Policy(split=split))
    guest.allocate(0, 1 << 30); held = []
    for page in range(0, 1 << 30, 64 << 20):
        guest.set_attributes(page, 4096, private=False)
        held.append(host.ledger.tallies["filemap_nodes"].live)
    print(split, *held[:2], held[-1]); plt.step(range(1, 17), held, label=split)
plt.legend(); plt.savefig("nodes.png")
"""


def python(code: str, folder: Path) -> list[str]:
    """The lines that ``code`` prints in an interpreter of its own."""
    root = str(Path(gmemsim.__file__).parents[1])
    environment = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_script_of_ten_lines_converts_reads_the_ledger_and_plots(tmp_path: Path) -> None:
    assert len(SCRIPT.splitlines()) == 10
    assert python(SCRIPT, tmp_path) == ["uniform 4162 4162 4162", "staged 74 82 194", "nonuniform 4 6 34"]
    assert (tmp_path / "nodes.png").read_bytes().startswith(b"\x89PNG")


def test_names_are_those_of_the_modules() -> None:
    assert (gmemsim.Host, gmemsim.GuestMemfd, gmemsim.Policy, gmemsim.XArray) == (Host, GuestMemfd, Policy, XArray)
    assert gmemsim.load_scenario is load_scenario
    assert set(gmemsim.__all__) <= set(dir(gmemsim))
    with pytest.raises(AttributeError, match="module 'gmemsim' has no attribute 'Hots'"):
        _ = gmemsim.Hots


def test_the_import_alone_loads_nothing(tmp_path: Path) -> None:
    code = "import gmemsim, sys; print(*sorted({'numpy', 'matplotlib', 'attrs', 'yaml', 'click'} & set(sys.modules)))"
    assert python(code, tmp_path) == [""]


@pytest.mark.parametrize(
    "first", ["", "import gmemsim.sim.run\n", "from gmemsim.sim.run import Result\n", "from gmemsim import run\n"]
)
def test_run_can_be_called_whatever_was_imported_first(tmp_path: Path, first: str) -> None:
    code = f"{first}import gmemsim\nfrom gmemsim import run\n" + (
        f"a, b = (f(gmemsim.load_scenario({str(SCENARIO)!r})) for f in (run, gmemsim.run))\n"
        "print(a.ok, a.summary == b.summary, gmemsim.sim.run.Result is type(a))"
    )
    assert python(code, tmp_path) == ["True True True"]


def test_a_scenario_from_python() -> None:
    result = gmemsim.run(gmemsim.load_scenario(SCENARIO), check=True)
    assert isinstance(result, Result)
    assert result.ok
