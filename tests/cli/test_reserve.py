# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``reserve`` as a user runs it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gmemsim.cli.main import gmemsim
from gmemsim.host.accounts import ACCOUNTS


def reserve(*arguments: str | Path) -> Result:
    return CliRunner().invoke(gmemsim, ["reserve", *map(str, arguments)], env={"COLUMNS": "80"})


def test_json_has_what_it_promises() -> None:
    policies = ("x=split:18-9-0,vmemmap:partial", "b-today")
    result = reserve(*(f"--policy={text}" for text in policies), "--pages", "1", "--pages", "513", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    assert (told["schema"], told["complete"], told["left"]) == (1, True, 0)
    assert [(row["policy"], row["pages"]) for row in told["rows"]] == [(p, n) for p in policies for n in (1, 513)]
    assert all({"policy", "pages", *ACCOUNTS, "bytes"} <= row.keys() for row in told["rows"])
    assert told["rows"][0]["vmemmap"] == 518
    assert told["closed_forms"][policies[0]]["filemap_nodes"] == "65 + 8·min(⌈(N-1)/512⌉+1, 512)"


@pytest.mark.parametrize(
    "arguments",
    [[], ["--scope", "life", "--policy", "a-rfc-v2", "--policy", "staged", "--mapping", "tdx"], ["--pattern", "one"]],
)
def test_the_table_fits_a_mail(arguments: list[str]) -> None:
    result = reserve(*arguments)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 77
    assert lines[0] == "What must be had so that converting 4K pages of a 1G hugepage cannot fail"


def test_tdx_has_its_tables() -> None:
    told = json.loads(reserve("--mapping", "tdx", "--pattern", "one", "--policy", "staged", "--json").stdout)
    assert (told["rows"][0]["stage2_page_tables"], told["rows"][0]["pamt"]) == (1, 2)
    without = reserve("--mapping", "tdx", "--pamt", "none", "--pattern", "one", "--policy", "staged", "--json")
    assert json.loads(without.stdout)["rows"][0]["pamt"] == 0


def test_descriptors() -> None:
    told = json.loads(
        reserve("--memdesc", "folio-descriptors", "--pattern", "one", "--policy", "staged", "--json").stdout
    )
    assert told["rows"][0]["memdesc"] == 511 + 512 - 1 + 0


def test_a_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["--pattern", "one", "--policy", "staged", "--prove"]
    proved = reserve(*asked)
    assert proved.exit_code == 0
    assert "proved by runs" in proved.stdout
    assert [row["proved"] for row in json.loads(reserve(*asked, "--json").stdout)["rows"]] == [True]
    monkeypatch.setattr("gmemsim.studies.reserve.suffices", lambda *asked: True)
    wrong = reserve(*asked)
    assert wrong.exit_code == 1
    assert "NOT PROVED: staged of 1 pages" in wrong.stdout


def test_files(tmp_path: Path) -> None:
    result = reserve("--policy", "staged", "--backing", "2M", "--out", tmp_path / "out", "--csv")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "reserve.json",
        "reserve.csv",
        "reserve.png",
        "reserve.svg",
    }
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [int(row["filemap_nodes"]) for row in rows] == [8] * len(rows)
    assert reserve("--out", tmp_path / "out").exit_code == 2
    assert reserve("--policy", "staged", "--out", tmp_path / "one.png").exit_code == 0
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--policy", "stagd"], "--policy stagd: found 'stagd', expected the name of a policy, did you mean"),
        (["--pages", "262145"], "found 262,145 pages, expected 1 to 262,144 of pattern block"),
        (["--pattern", "spread", "--pages", "131073"], "expected 1 to 65,536 of pattern spread"),
        (["--backing", "3M"], "no machine has hugepages of 3M"),
        (["--backing", "2M", "--policy", "ladder-1g"], "ladder-1g: ladder [18, 12, 6, 0]"),
        (["--backing", "32M", "--page-size", "16K", "--mapping", "tdx"], "tdx is of x86"),
        (["--backing", "32M", "--page-size", "16K", "--pamt", "dynamic"], "PAMT is of TDX on x86"),
        (["--page-size", "8K"], "8K"),
    ],
)
def test_what_cannot_be_is_told(arguments: list[str], told: str) -> None:
    result = reserve(*arguments)
    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr
