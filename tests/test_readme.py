# SPDX-License-Identifier: GPL-2.0-or-later
"""README.md and the pages below docs/ say what the commands print, and their examples run (:mod:`tests.readme`)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.readme import PAGES, README, ROOT, PageError, blocks, rewritten

TEXT = README.read_text(encoding="utf-8")
KERNEL_FILES = {"lib/xarray.c"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_what_its_commands_print(page: Path) -> None:
    for recorded, today in blocks(page.read_text(encoding="utf-8")):
        name = page.relative_to(ROOT)
        assert recorded == today, f"`python -m tests.readme {name}` writes today's output into {name}"


def test_what_the_text_names_exists() -> None:
    paths = {path for path in re.findall(r"[`(]([a-z][\w./-]*/[\w./-]*)[`)]", TEXT) if not path.startswith("out/")}
    assert {"docs/first-look.md", "scenarios/is-it-necessary.png"} <= paths
    missing = [path for path in paths if not any((base / path).exists() for base in (ROOT, ROOT / "gmemsim"))]
    missing = [path for path in missing if path not in KERNEL_FILES]
    assert not missing, f"README.md names what is not there: {missing}"


def test_the_list_of_pages_has_every_page() -> None:
    listed = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {str(page.relative_to(ROOT / "docs")) for page in PAGES if page != README}
    missing = {name for name in pages if not name.startswith("decisions/") and f"]({name})" not in listed}
    assert missing <= {"README.md"}


def test_the_figures_of_the_readme_are_those_of_the_run() -> None:
    """The page they come from is compared with what the commands print."""
    (sentence,) = re.findall(r"One 4K page shared.*?split\.\n", TEXT, re.DOTALL)
    figures = re.findall(r"[\d.]+ [KM]iB", sentence)
    assert len(figures) == 3
    explained = (ROOT / "docs" / "first-look.md").read_text(encoding="utf-8")
    assert [figure for figure in figures if figure not in explained] == []


def test_the_readme_is_one_screen() -> None:
    assert len(TEXT.splitlines()) <= 80


def test_blocks_of_a_page_follow_one_another() -> None:
    page = (
        "<!-- file: a/x.txt -->\n```text\nhello\n```\nand\n"
        "```console\n$ cat a/x.txt\nold\n$ gmemsim run nothing.yaml\n$ echo $?\n$ cat \\\n  a/x.txt | wc -l\n```\n"
        "```python\nfrom pathlib import Path\nassert Path('a/x.txt').read_text() == 'hello\\n'\n```\n"
    )
    shown = (
        "```console\n$ cat a/x.txt\nhello\n$ gmemsim run nothing.yaml\n"
        "nothing.yaml: found no such file, expected a scenario file\n$ echo $?\n2\n"
        "$ cat \\\n  a/x.txt | wc -l\n1\n```\n"
    )
    assert shown in rewritten(page)
    assert rewritten(rewritten(page)) == rewritten(page)


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```console\n$ gmemsim run nothing.yaml\n```\n", "ends with 2"),
        ("```console\nno command\n```\n", "begins with a command"),
        (
            "```yaml\ngmemsim: 1\nguests: [{name: a, memory: 4K, backing: 4K}]\nworkload: []\n"
            "expect: [{metric: folios.4K, eq: 7}]\n```\n",
            "does not hold",
        ),
    ],
)
def test_a_block_that_cannot_be_carried_out_is_an_error(page: str, message: str) -> None:
    with pytest.raises(PageError, match=message):
        rewritten(page)
