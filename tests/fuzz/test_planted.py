# SPDX-License-Identifier: GPL-2.0-or-later
"""`gmemsim fuzz` finds a bug in each of six places, within a stated number of runs, and shortens it to ten steps.

A bug is put into a copy of the sources (tests/planted.py).  The worlds are those of seed 0, as the command has them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.planted import run_with_bugs

MOST_STEPS = 10

PLANTED = {
    "sibling slot of a store": (
        [("xarray/tree.py", "[self.chunk.siblings[offset]] * sibs", "[self.chunk.siblings[offset - 1]] * sibs")],
        20,
    ),
    "nodes of an ancestor": (
        [
            (
                "xarray/tree.py",
                "node.nodes += delta\n        node = node.parent",
                "node.nodes += delta\n        node = None",
            )
        ],
        20,
    ),
    "free forgotten on rollback": (
        [("gmem/restructure.py", "        self.inode.vmemmap.free(self._vmemmap)\n", "")],
        60,
    ),
    "hysteresis counter": (
        [("gmem/rules.py", "return splits <= self.limit", "return splits < self.limit")],
        60,
    ),
    "stage-2 leaf kept over a hole": (
        [("gmem/guest.py", "        inode.zap(first, end)\n", "")],
        40,
    ),
    # Blocks of a few flips: with 1024 none of these worlds has two of them.
    "parity at the edge of a block of a RangeSet": (
        [
            ("gmem/ranges.py", "block_flips: int = 1024", "block_flips: int = 4"),
            ("gmem/ranges.py", "half = len(block) // 4 * 2", "half = len(block) // 2"),
        ],
        40,
    ),
}
"""What is planted, and within how many runs it must be found."""

HUNT = """
import json
from gmemsim.studies.fuzz import fuzz
found = fuzz(0, {runs}, watch="tests.model.watch:Watch")
finding = found.finding
print(json.dumps(None if finding is None else dict(
    run=finding.number, kind=finding.failure.kind, steps=len(finding.steps), text=finding.text
)))
"""


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found_and_shortened(tmp_path: Path, name: str) -> None:
    edits, runs = PLANTED[name]
    done = run_with_bugs(tmp_path, edits, HUNT.format(runs=runs))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found is not None, f"{name}: not found in {runs} runs of seed 0"
    assert found["steps"] <= MOST_STEPS, f"{name}: {found}"
