# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``compare`` as a user runs it: exit codes, what is printed where, what is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gmemsim.cli.compare import OUTPUTS
from gmemsim.cli.main import gmemsim
from gmemsim.host.costs import PROFILES
from gmemsim.host.work import Work

SCENARIO = """\
gmemsim: 1
title: One page out and back
host: {hugetlb: {1G: 1}}
guests: [{name: vm0, memory: 1G, backing: 1G}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 1G}
  - convert: {guest: vm0, offset: 0, size: 4K, to: shared, at: 1s}
expect:
  - {metric: filemap_nodes.peak, eq: 4162}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "one.yaml"
    path.write_text(SCENARIO)
    return path


def compare(*arguments: str | Path) -> Result:
    return CliRunner().invoke(gmemsim, ["compare", *map(str, arguments)])


def test_policies_of_one_scenario_whose_expectations_do_not_count(scenario: Path) -> None:
    result = compare(scenario, "--policy", "b-today", "--policy", "mine=split:staged,vmemmap:partial", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    nodes = next(row for row in told["rows"] if row["metric"] == "filemap_nodes.peak")
    assert nodes["values"] == {"b-today": 4162, "mine": 74}
    assert told["summaries"]["mine"]["guests"][0]["policy"]["vmemmap"] == "partial"


def test_expectations_of_the_workload_are_tested_under_every_policy(scenario: Path) -> None:
    text = scenario.read_text()
    calls = text.count("convert:")
    for requested, code in ((calls, 0), (calls + 1, 1)):
        scenario.write_text(f"{text}  - {{metric: conversions.requested, eq: {requested}}}\n")
        result = compare(scenario, "--policy", "b-today", "--policy", "staged", "--json")
        assert result.exit_code == code
        told = json.loads(result.stdout)["summaries"]["staged"]["expect"]
        assert [verdict["metric"] for verdict in told] == ["conversions.requested"]
        assert result.stderr.count(f"expected conversions.requested = {requested}, found {calls}") == 2 * code


def test_any_metric_can_be_compared(scenario: Path) -> None:
    more = ("--metric", "work.nodes_allocated", "--metric", "guests.vm0.vmemmap.peak_bytes")
    result = compare(scenario, "--policy", "b-today", "--policy", "staged", *more, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    rows = {row["metric"]: row for row in json.loads(result.stdout)["rows"]}
    assert rows["work.nodes_allocated"]["values"] == {"b-today": 4161, "staged": 73}
    assert rows["guests.vm0.vmemmap.peak_bytes"]["unit"] == "bytes"


def test_a_metric_that_no_summary_has_is_refused_before_any_run(scenario: Path, tmp_path: Path) -> None:
    wrong = ("--metric", "vmemap.peak", "--metric", "guests.vm7.vmemmap.peak", "--out", tmp_path / "out")
    result = compare(scenario, *wrong)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 2)
    assert f"{scenario}: metric 'vmemap.peak': found 'vmemap'" in result.stderr
    assert f"{scenario}: metric 'guests.vm7.vmemmap.peak': found 'vm7', expected the name of a guest" in result.stderr
    assert not (tmp_path / "out").exists()


def test_without_a_policy_all_that_split_differently_are_compared(scenario: Path) -> None:
    result = compare(scenario)
    assert result.exit_code == 0
    assert {"b-today", "staged", "nonuniform-partial", "ladder-1g", "no-hvo"} <= set(result.stdout.split())
    assert max(map(len, result.stdout.splitlines())) <= 80
    scenario.write_text(SCENARIO.replace("1G: 1", "2M: 512").replace("backing: 1G", "backing: 2M"))
    assert "ladder-1g" not in compare(scenario).stdout


def test_scenarios_are_named_by_their_files_and_their_expectations_count(scenario: Path, tmp_path: Path) -> None:
    other = tmp_path / "two.yaml"
    other.write_text(SCENARIO.replace("eq: 4162", "eq: 7"))
    assert compare(scenario, scenario.parent / ".." / scenario.parent.name / "one.yaml").exit_code == 0
    result = compare(scenario, other)
    assert result.exit_code == 1
    assert result.stderr == f"{other}:9: expected filemap_nodes.peak = 7, found 4,162\n"
    assert "2 scenarios" in result.stdout
    assert "delta and ratio are against one" in result.stdout


@pytest.mark.parametrize(("option", "begin"), [("--json", "{"), ("--csv", "metric,"), ("--markdown", "One page")])
def test_a_format_is_all_there_is_on_standard_output(scenario: Path, tmp_path: Path, option: str, begin: str) -> None:
    result = compare(scenario, "--policy", "b-today", option, "--out", tmp_path / "out")
    assert result.stdout.startswith(begin)
    assert "wrote" not in result.stdout
    assert result.stderr.startswith("wrote compare.json, compare.csv")


def test_out_writes_all_files_once(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = (scenario, "--policy", "b-today", "--policy", "staged", "--out", out)
    assert compare(*arguments).exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(OUTPUTS)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    again = compare(*arguments)
    assert (again.exit_code, again.stdout) == (2, "")
    assert "use --force" in again.stderr
    assert compare(*arguments, "--force").exit_code == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_a_ladder_that_does_not_fit_is_2_with_one_line_and_nothing_written(scenario: Path, tmp_path: Path) -> None:
    scenario.write_text(SCENARIO.replace("1G: 1", "2M: 512").replace("backing: 1G", "backing: 2M"))
    result = compare(scenario, "--policy", "b-today", "--policy", "ladder-1g", "--out", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "--policy ladder-1g: guest vm0: ladder [18, 12, 6, 0] starts at order 18, but the backing 2M is order 9\n"
    )
    assert not (tmp_path / "out").exists()


def test_all_that_is_wrong_is_said_at_once(scenario: Path, tmp_path: Path) -> None:
    result = compare(scenario, "--policy", "stagd", "--policy", "x=qqq", "--policy", "b-today", "--policy", "b-today")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 3)
    assert "did you mean 'staged'?" in result.stderr
    result = compare(tmp_path / "gone.yaml", scenario, tmp_path / "away.yaml", scenario)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 3)
    assert f"{scenario}: found this file twice" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Missing argument"),
        (["a", "b", "--policy", "staged"], "found 2 files"),
        (["a", "--force"], "--force needs --out PATH"),
    ],
)
def test_usage_errors_are_2(arguments: list[str], complaint: str) -> None:
    result = compare(*arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_a_refusal_is_3_and_names_the_scenario(scenario: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.yaml"
    small.write_text(SCENARIO.replace("1G: 1", "1G: 0"))
    result = compare(scenario, small)
    assert result.exit_code == 3
    assert result.stderr.startswith("gmemsim: refused: small: guest vm0 cannot be created: ")


def test_times_under_all_profiles_and_whether_their_order_is_the_same(scenario: Path) -> None:
    policies = ("--policy", "b-today", "--policy", "staged-partial")
    result = compare(scenario, *policies, "--costs", "all", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    rows = {row["metric"]: row for row in told["rows"]}
    assert rows["modelled_time_ns.total@default"]["values"] == rows["modelled_time_ns.total"]["values"]
    for name in PROFILES:
        row = rows[f"modelled_time_ns.total@{name}"]
        assert (row["unit"], row["estimate"]) == ("ns", True)
        for policy, value in row["values"].items():
            work = Work(**told["summaries"][policy]["work"])
            assert value == pytest.approx(PROFILES[name].price(work)["total"])
    order = [["staged-partial"], ["b-today"]]
    assert told["costs"]["same_order"] is True
    assert told["costs"]["orders"] == dict.fromkeys(
        ("default", "kravetz-e7-2023", "kravetz-epyc-vm-2023", "roth-snp-2025"), order
    )
    screen = " ".join(compare(scenario, *policies, "--costs", "all").stdout.split())
    assert "The order by modelled time is the same under default, kravetz-e7-2023" in screen
    assert "No difference under misono-snp-2024, misono-tdx-2024, kalyazin-2024." in screen
    markdown = " ".join(compare(scenario, *policies, "--costs", "all", "--markdown").stdout.split())
    assert "is the same under default" in markdown
    assert "staged-partial \\< b-today" in markdown


def test_profiles_that_order_differently_are_told(scenario: Path) -> None:
    """Staged splits less; re-optimising flushes 511 times: what is dearer is a matter of the prices."""
    policies = ("--policy", "b-today", "--policy", "staged-reoptimize")
    profiles = ("--costs", "roth-snp-2025", "--costs", "kravetz-epyc-vm-2023")
    told = json.loads(compare(scenario, *policies, *profiles, "--json").stdout)
    assert told["costs"]["same_order"] is False
    screen = " ".join(compare(scenario, *policies, *profiles).stdout.split())
    words = "depends on the prices: staged-reoptimize < b-today under roth-snp-2025;"
    assert f"{words} b-today < staged-reoptimize under kravetz-epyc-vm-2023." in screen


def test_prices_of_the_scenario_hold_under_every_profile(scenario: Path) -> None:
    scenario.write_text(SCENARIO.replace("{1G: 1}", "{1G: 1}, prices: {conversions: 1s}"))
    told = json.loads(compare(scenario, "--policy", "staged", "--costs", "all", "--json").stdout)
    times = [row["values"]["staged"] for row in told["rows"] if "@" in row["metric"]]
    assert len(times) == len(PROFILES)
    assert min(times) >= 1e9


def test_a_mistyped_profile_is_answered_before_any_run(scenario: Path) -> None:
    result = compare(scenario, "--costs", "defualt")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean 'default'?" in result.stderr


def test_what_no_time_contains_is_said(scenario: Path) -> None:
    shown = compare(scenario, "--policy", "staged", "--policy", "b-today").stdout
    assert "not priced, and in no modelled time: exits" in " ".join(shown.split())


@pytest.mark.parametrize("metric", ["work.tlb_flushes", "work.pages_copied", "work.bytes_cleared", "work.exits"])
def test_work_is_compared(scenario: Path, metric: str) -> None:
    told = json.loads(compare(scenario, "--metric", metric, "--json").stdout)
    (row,) = (row for row in told["rows"] if row["metric"] == metric)
    for name, summary in told["summaries"].items():
        assert row["values"][name] == summary["work"][metric.removeprefix("work.")]
    assert not row["estimate"]


def test_what_is_wrong_in_the_same_way_in_several_scenarios_is_said_once() -> None:
    several = ("compare", "rfc-cover", "staged", "memdescs", "numa")
    result = CliRunner().invoke(gmemsim, [*several, "--set", "host.kernl_memory=1M"])
    assert result.exit_code == 2
    assert result.stderr.count("did you mean 'kernel_memory'?") == 1
    result = CliRunner().invoke(gmemsim, [*several, "--metric", "vmemmap.foo"])
    assert result.stderr.startswith("rfc-cover, staged, memdescs and 1 more: metric 'vmemmap.foo': found 'foo'")
    assert result.stderr.count("\n") == 1


def test_a_note_on_several_policies_is_said_once(scenario: Path) -> None:
    policies = ("--policy", "b-today", "--policy", "a=when:fault", "--policy", "b=split:staged,when:fault")
    words = " ".join(compare(scenario, *policies).stdout.split())
    assert words.count("the host touched nothing: that split nothing") == 1
    assert "note: a, b: " in words
