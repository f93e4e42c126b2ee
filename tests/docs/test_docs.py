# SPDX-License-Identifier: GPL-2.0-or-later
"""The documentation site builds without a warning, and its reference has everything that the program has."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterable
from html import unescape
from os import environ
from pathlib import Path
from typing import Any

import click
import pytest

import gmemsim
import gmemsim.testing
from gmemsim.cli import exits
from gmemsim.cli.main import gmemsim as everything
from gmemsim.gmem.policy import KEYS
from gmemsim.gmem.presets import PRESETS
from gmemsim.gmem.rules import ORDERINGS
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.costs import PROFILES
from gmemsim.host.work import COUNTERS
from gmemsim.reports import export
from gmemsim.reports.figures import FIGURES
from gmemsim.results.metrics import find_metric
from gmemsim.results.summary import GUEST_PARTS, PARTS
from gmemsim.scenario.format.jsonschema import json_schema
from gmemsim.scenario.format.load import step_types
from gmemsim.scenario.model import step_keys
from gmemsim.testing import plugin
from tests.docs.interface import command_tree
from tests.docs.markdown import prose, sentence
from tests.docs.pictures import IMAGE, named
from tests.docs.reference import PAGES, leaves, part_words
from tests.docs.site import GENERATED, SOURCES, sections
from tests.readme import PAGES as TEXTS
from tests.readme import README, ROOT
from tests.scenario.test_jsonschema import described


def lacks(page: str, names: Iterable[object]) -> list[str]:
    """Those of ``names`` that stand nowhere on the page as code."""
    text = PAGES[page]()
    return [name for name in map(str, names) if f"`{name}`" not in text]


def test_every_step_and_each_of_its_keys_is_on_its_page() -> None:
    page = PAGES["steps"]()
    assert lacks("steps", step_types()) == []
    for name, step in step_types().items():
        section = page.partition(f"### `{name}`\n")[2].partition("\n##")[0]
        assert [key for key in step_keys(step) if f"| `{key}` |" not in section] == []


def test_every_key_of_a_file_is_on_its_page_with_its_words_and_its_default() -> None:
    both = PAGES["scenario"]() + PAGES["steps"]()
    inner = {"ladder", "hysteresis", "when", *COUNTERS, *step_types()}
    keys = [(key, told) for key, told, _ in described(json_schema()) if key not in inner]
    assert len(keys) > 50
    assert [key for key, _ in keys if f"| `{key}` |" not in both] == []
    text = [(told["default"]) for _, told in keys if isinstance(told.get("default"), str)]
    assert [value for value in text if f"`{value}`" not in both] == []


def test_every_metric_is_on_its_page_and_every_path_there_is_one() -> None:
    assert lacks("metrics", PARTS) == []
    page = PAGES["metrics"]()
    paths = [path for name, part in PARTS.items() if part.keys is not None for path, _ in leaves(part.keys, (name,))]
    assert len(paths) > 200
    assert [path for path in paths if f"`{path.removeprefix('accounts.')}`" not in page] == []
    for path in paths:
        find_metric(path)
    assert [name for name in GUEST_PARTS if f"guests.NAME.{name}" not in page] == []


def test_every_part_of_the_summary_says_what_it_is() -> None:
    assert [name for rows in (PARTS, GUEST_PARTS) for name, part in rows.items() if len(part_words(part)) < 8] == []


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("accounts", [*ACCOUNTS]),
        ("policies", [*PRESETS, *KEYS, *ORDERINGS, *(rule for key in KEYS.values() for rule in key.rules)]),
        ("costs", [*COUNTERS]),
        ("figures", [*FIGURES]),
        ("formats", [*export.EXPORTS, *export.COMPARE_EXPORTS, *export.SWEEP_EXPORTS, *export.TUNE_EXPORTS]),
        ("python", [*gmemsim.__all__, *gmemsim.testing.__all__]),
        ("fixtures", [name for name in vars(plugin) if name.startswith("gmem_")]),
    ],
)
def test_every_row_is_on_its_page(page: str, names: list[str]) -> None:
    assert names
    assert lacks(page, names) == []


def test_every_step_that_fails_is_told_with_what_it_leaves() -> None:
    page = PAGES["policies"]()
    for name, ordering in ORDERINGS.items():
        section = page.partition(f"### Failures under `{name}`\n")[2].partition("\n##")[0]
        assert len(re.findall(r"^\| (?!---|what fails)", section, re.MULTILINE)) == len(ordering.failures) > 0


def test_every_price_is_told_with_its_source() -> None:
    page = PAGES["costs"]()
    for name, profile in PROFILES.items():
        section = page.partition(f"## Profile `{name}`\n")[2].partition("\n## ")[0]
        rows = re.findall(r"^\| `(\w+)` \|.*\| (.+) \|$", section, re.MULTILINE)
        assert [counter for counter, _ in rows] == list(COUNTERS)
        sources = [sentence(price.source).replace("_", "") for price in map(profile.figures.__getitem__, COUNTERS)]
        assert [told.replace("\\", "").replace("_", "") for _, told in rows] == sources


def test_every_command_and_option_is_on_its_page() -> None:
    page = PAGES["commands"]()
    commands: list[tuple[str, click.Command]] = list(command_tree(everything, "gmemsim"))
    assert {"gmemsim run", "gmemsim xarray replay"} <= {name for name, _ in commands}
    for name, command in commands:
        section = page.partition(f"## `{name}`\n")[2].partition("\n## ")[0]
        options = [it.opts[-1] for it in command.params if isinstance(it, click.Option) and not it.hidden]
        assert [option for option in options if option not in section] == [], name


def test_every_exit_code_is_on_its_page() -> None:
    numbers = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    assert lacks("exit-codes", {0, 1, *(number for number in numbers if number >= 0)}) == []


def test_every_generated_page_has_a_frame() -> None:
    framed = {match for page in TEXTS for match in GENERATED.findall(page.read_text(encoding="utf-8"))}
    assert framed == set(PAGES)


def test_the_contents_have_every_page_once() -> None:
    listed = [page for _, pages in sections() for page in pages]
    there = {path.relative_to(ROOT).with_suffix("") for pattern in SOURCES for path in ROOT.glob(pattern)}
    pages = {str(page) for page in there if page.parts[:2] != ("docs", "decisions")}
    assert sorted(listed) == sorted({*pages, "docs/decisions/README"} - {"README"})


def test_every_picture_has_a_command_that_draws_it() -> None:
    local = {
        (page.parent / target).resolve()
        for page in TEXTS
        for target in IMAGE.findall(page.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", target)
    }
    assert local
    assert local == {picture for _, picture in named()}


def test_the_title_of_the_first_picture_is_what_the_readme_says() -> None:
    from gmemsim.reports.figures import figure, watched
    from gmemsim.sim.run import Run

    drawn = figure("holdings", watched(Run(gmemsim.load_scenario("is-it-necessary")), ["holdings"]))
    title: Any = drawn.get_suptitle()
    text = README.read_text(encoding="utf-8")
    (told,) = re.findall(r"One 4K page shared.*?split\.\n", text, re.DOTALL)
    figures = set(re.findall(r"[\d.]+ [KM]iB", told))
    assert figures
    assert figures <= set(re.findall(r"[\d.]+ [KM]iB", " ".join(title.split())))


def test_docstrings_become_markdown() -> None:
    """Roles and doubled backquotes are code, tables are kept, headings are left out."""
    docstring = inspect.cleandoc(
        """\
        A *rule* of ``some_thing``, see :class:`~gmemsim.host.Host`; 1 < 2 of a_b.

        Theory
        ------
        Text.

        ====  ====
        a     b
        ====  ====
        1     2

        3     4
        ====  ====
        """
    )
    assert prose(docstring) == (
        "A \\*rule\\* of `some_thing`, see `Host`; 1 \\< 2 of a\\_b.\n\nText.\n\n"
        "```text\n====  ====\na     b\n====  ====\n1     2\n3     4\n====  ====\n```"
    )


def built(folder: Path) -> subprocess.CompletedProcess[str]:
    """The build of the site in ``folder``, as `make docs` does it."""
    return subprocess.run(
        [sys.executable, *["-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", "-b", "html", "."], str(folder)],
        cwd=ROOT,
        env={name: value for name, value in environ.items() if not name.startswith("COVERAGE_")},  # a minute, traced
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """All pages, all internal links, all references; so a broken link or a misspelt name ends here."""
    done = built(tmp_path / "site")
    assert (done.returncode, done.stderr) == (0, "")
    pages = {path.name: path for path in (tmp_path / "site" / "docs").rglob("*.html")}
    assert {"metrics.html", "own-generator.html", "orderings.html", "tutorial.html"} <= set(pages)
    assert 'url=README.html"' in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    text = unescape(re.sub(r"<[^>]+>", "", pages["python.html"].read_text(encoding="utf-8")))
    assert "Convert" in text
    assert "set_attributes(" in text  # a method of a public class, from its docstring
    assert not re.search(r'src="https?://|href="https?://[^"]*\.css', pages["metrics.html"].read_text(encoding="utf-8"))
