# SPDX-License-Identifier: GPL-2.0-or-later
"""Every row of KERNEL_DIFFERENCES.md, on the kernel's own code: as a C test of ours, and as the row's trace."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.oracle import kernel
from tests.oracle.rules import STOCK, Abilities
from tests.xarray import differences
from tests.xarray.catalogue import DIFFERENCES, Difference
from tests.xarray.differences import FIGURES

pytestmark = pytest.mark.oracle
built = pytest.mark.skipif(not (kernel.BUILD / "gmem-reproducers").exists(), reason="needs tests/oracle/build.sh")

SOURCES = Path(__file__).parent / "reproducers"

WHERE = {row.key: row.where for row in (*DIFFERENCES, *FIGURES)}


def expected(where: str, abilities: Abilities) -> str:
    """What a kernel with these abilities does according to the row's ``where``.

    A kernel that splits more than one level has the RFC; one that does not is upstream's.
    """
    if where.startswith("every kernel"):
        return "wrong"
    if where.startswith("6.15"):
        return "wrong" if abilities.try_split else "not here"
    if where.startswith("upstream"):
        return "wrong" if abilities.levels == 1 else "right"
    assert where.startswith("RFC")
    return "wrong" if abilities.levels > 1 else "right"


def test_what_rows_say_of_kernels() -> None:
    """The expectations themselves: a row's words decide what each kernel is to do."""
    newer, rfc = Abilities(try_split=True), Abilities(levels=3)
    said = {key: [expected(where, one) for one in (STOCK, newer, rfc)] for key, where in WHERE.items()}
    assert said["store-over-siblings"] == ["wrong", "wrong", "wrong"]
    assert said["try-split-12-5"] == ["not here", "wrong", "not here"]
    assert said["two-levels-refused"] == ["wrong", "wrong", "right"]
    assert said["split-to-a-value"] == ["right", "right", "wrong"]


def test_every_row_has_a_c_test() -> None:
    keys = re.findall(r'^\t\{ "([a-z0-9-]+)", ', (SOURCES / "main.c").read_text(), flags=re.MULTILINE)
    assert sorted(set(keys)) == sorted(WHERE)
    text = (SOURCES / "check_differences.c").read_text()
    judged = set(keys) - {"overflow", "marks-cost"}  # one needs a shim, the other is a cost
    assert all(f"/* {key}: " in text or f" * {key}: " in text for key in judged)


@built
@pytest.mark.parametrize("key", sorted(WHERE))
def test_the_kernel_does_what_the_row_says(key: str) -> None:
    verdict = kernel.reproducers()[key]
    wanted = "not here" if key == "marks-cost" else expected(WHERE[key], kernel.abilities())
    assert verdict.startswith(wanted), verdict


@built
@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.key)
def test_the_kernel_answers_the_trace_as_the_row_says(difference: Difference) -> None:
    """The recorded lines where this kernel has the mistake, ours where it has not."""
    answers = kernel.replay([record.operation for record in difference.records], fast=True)
    wanted = expected(difference.where, kernel.abilities())
    if ["unsupported"] in answers:
        assert wanted == "not here" or difference.key == "split-from-the-middle", "the driver splits at first indices"
        return
    recorded = [record.results for record in difference.records]
    assert answers == (recorded if wanted == "wrong" else differences.ours(difference.records))
