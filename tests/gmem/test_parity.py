# SPDX-License-Identifier: GPL-2.0-or-later
"""Every case of the kernel's tests has a counterpart, and PARITY.md says which."""

from tests.gmem.parity import CASES, PAGE, counterparts, page


def test_every_case_has_a_counterpart_and_none_is_invented() -> None:
    assert set(counterparts()) == set(CASES)


def test_the_page_is_up_to_date() -> None:
    assert page() == PAGE.read_text(), "run python -m tests.gmem.parity"
