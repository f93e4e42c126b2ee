# SPDX-License-Identifier: GPL-2.0-or-later
"""Every function of lib/test_xarray.c has a counterpart or a reason, and PARITY.md says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.xarray.parity.kernel_functions import HELPERS, LEFT_OUT, SINCE, TESTS
from tests.xarray.parity.page import PAGE, counterparts, page

KERNEL = Path(__file__).parents[2] / "oracle" / "build" / "linux" / "lib" / "test_xarray.c"


def test_every_function_is_listed_once() -> None:
    names = [*TESTS, *HELPERS, *LEFT_OUT]
    assert len(names) == len(set(names))


def test_every_test_of_the_kernels_has_a_counterpart() -> None:
    found = counterparts()
    assert set(found) == set(TESTS)


def test_the_page_is_up_to_date() -> None:
    assert page() == PAGE.read_text(), "run python -m tests.xarray.parity"


@pytest.mark.oracle
def test_the_list_is_that_of_the_kernel() -> None:
    """The functions defined in the source that `make oracle` unpacked."""
    if not KERNEL.exists():
        pytest.skip("no kernel source: make oracle")
    defined = set(
        re.findall(r"^(?:static )?(?:noinline )?[\w *]+?\b(\w+)\([^;]*?\)\s*\{", KERNEL.read_text(), re.MULTILINE)
    )
    assert defined - {"if", "while", "for"} <= {*TESTS, *HELPERS, *LEFT_OUT}
    assert {*TESTS, *HELPERS, *LEFT_OUT} - set(SINCE) <= defined
