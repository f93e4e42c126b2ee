# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/failures.md says what runs say; ``python -m tests.failures`` writes it anew."""

from __future__ import annotations

from gmemsim.gmem.rules import ORDERINGS
from tests.failures import PAGE, page


def test_the_page_is_what_runs_say_now() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_ordering_has_a_section() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"\n## `{name}`" in text for name in ORDERINGS)
