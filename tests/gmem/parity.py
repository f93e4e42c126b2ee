# SPDX-License-Identifier: GPL-2.0-or-later
"""PARITY.md: which test here stands for which case of the kernel's own guest_memfd conversion tests.

A test says so in its docstring, in a sentence ``Counterpart of SUITE:CASE, SUITE:CASE.``; from these sentences
``python -m tests.gmem.parity`` writes the page.  test_parity.py fails when it is stale or a case has no counterpart.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
TESTS = HERE / "test_upstream.py"
PAGE = HERE / "PARITY.md"

SUITES = {
    "C": "`guest_memfd_conversions_test` of *guest_memfd: In-place conversion support* (base pages)",
    "A": "the same test in *1G page support for guest_memfd*, RFC v2, at 4K, 2M and 1G",
}
"""The kernel's suites by generation (DOMAIN.md, the first table)."""

BOTH = (
    "init_private",
    "init_shared",
    "indexing",
    "before_allocation_shared",
    "before_allocation_private",
    "unallocated_folios",
    "truncate",
    "forked_accesses",
    "elevated_refcount",
)
ONLY_A = (
    "sub_folios",
    "fault_type_independent_of_vm_attributes",
    "truncate_shared_while_pinned",
    "truncate_private",
    "close_with_pinning",
    "allocate_subfolios",
    "convert_subfolios",
)
CASES = [f"{suite}:{case}" for suite in SUITES for case in BOTH] + [f"A:{case}" for case in ONLY_A]
"""Every case of DOMAIN.md section 7's two KVM suites."""


def counterparts() -> dict[str, list[tuple[str, str]]]:
    """Upstream's case -> the tests that name it, each with the first line of its docstring."""
    found = defaultdict(list)
    for item in ast.walk(ast.parse(TESTS.read_text())):
        if isinstance(item, ast.FunctionDef) and item.name.startswith("test_"):
            text = ast.get_docstring(item) or ""
            sentence = re.search(r"Counterpart of ([\w:,\s]+)\.", text)
            for case in re.split(r"[,\s]+", sentence[1]) if sentence else ():
                found[case].append((item.name, text.splitlines()[0]))
    return dict(found)


def page() -> str:
    """The text of PARITY.md."""
    found = counterparts()
    lines = [
        "# The kernel's guest_memfd conversion tests, case by case",
        "",
        "Written by `python -m tests.gmem.parity`; do not edit. The tests are in tests/gmem/test_upstream.py, in our",
        "own words, and run at 4K, 2M and 1G with generation A's ordering, B's, and reserve-first. Contents of pages",
        "are not modelled: who can touch a page stands for what it reads.",
        "",
    ]
    lines += [f"- {suite}: {title}" for suite, title in SUITES.items()]
    lines += ["", "| case | test | what it shows |", "|---|---|---|"]
    for case in CASES:
        for name, shows in found[case]:
            lines.append(f"| `{case}` | `{name}` | {shows} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
