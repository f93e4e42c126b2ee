# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings: a scenario with other values is the one whose file has these values."""

from __future__ import annotations

from pathlib import Path

import pytest

from gmemsim.errors import InputError
from gmemsim.gmem.presets import PRESETS
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.scenario.format.settings import Setting, read_setting
from gmemsim.scenario.format.template import Template, load_with

TEXT = """\
gmemsim: 1
host: {hugetlb: {1G: 2}}
guests:
  - {name: vm0, memory: 1G, backing: 1G, policy: &p {split: staged}}
  - {name: vm1, memory: 1G, backing: 1G, policy: *p}
workload:
  - convert: {guest: vm0, offset: 512M, size: 4K, to: shared}
expect:
  - {metric: filemap_nodes.peak, eq: 7}
"""


@pytest.mark.parametrize(
    ("key", "value", "before", "after"),
    [
        ("host.kernel_memory", "64M", "hugetlb: {1G: 2}", "hugetlb: {1G: 2}, kernel_memory: 64M"),
        ("host.hugetlb.2M", "7", "{1G: 2}", "{1G: 2, 2M: 7}"),
        ("guests.vm1.memory", "2G", "{name: vm1, memory: 1G", "{name: vm1, memory: 2G"),
        ("guests.1.memory", "2G", "{name: vm1, memory: 1G", "{name: vm1, memory: 2G"),
        ("guests.*.memory", "2G", "memory: 1G", "memory: 2G"),
        ("guests.vm1.policy.split", "uniform", "*p", "{split: uniform}"),
        ("guests.vm1.policy", "x=split:18-9-0,merge:never", "*p", "{split: {ladder: [18, 9, 0]}, merge: never}"),
        ("guests.vm1.policy", "{merge: never}", "*p", "{merge: never}"),
        ("workload.0.convert.size", "8K", "size: 4K", "size: 8K"),
        ("expect.0.eq", "8", "eq: 7", "eq: 8"),
    ],
)
def test_a_setting_is_what_the_file_would_say(key: str, value: str, before: str, after: str) -> None:
    assert before in TEXT
    made = Template(TEXT).scenario([Setting(key, value)])
    assert made == parse_scenario(TEXT.replace(before, after))
    assert made.settings == (f"{key}={value}",)
    assert made.sha256 == parse_scenario(TEXT).sha256


@pytest.mark.parametrize("name", PRESETS)
def test_every_named_policy_can_be_set(name: str) -> None:
    template = Template(TEXT)
    for key, changed in (("policy", {0, 1}), ("guests.*.policy", {0, 1}), ("guests.vm0.policy", {0})):
        guests = template.scenario([Setting(key, name)]).guests
        assert {guests[place].policy for place in changed} == {PRESETS[name].policy}
    assert template.scenario() == parse_scenario(TEXT)


def test_later_settings_see_what_earlier_ones_did() -> None:
    settings = [Setting("guests.1.name", "vmx"), Setting("guests.vmx.memory", "2G")]
    assert [guest.memory for guest in Template(TEXT).scenario(settings).guests] == [1 << 30, 2 << 30]


def test_without_expectations_nothing_is_expected() -> None:
    text = TEXT.replace("to: shared}", "to: shared, expect_error: {errno: EAGAIN}}")
    made = Template(text, expectations=False).scenario()
    assert made.expect == ()
    assert made.workload[0].expect_error is None


def wrong(path: Path, *settings: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load_with(path, [read_setting(text, "--set") for text in settings])
    return [str(fault) for fault in caught.value.faults]


def test_all_that_is_wrong_is_told_where_it_was_typed(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TEXT)
    assert wrong(path, "hots.x=1", "seed=-1", "title=x") == [
        "--set hots.x=1: found the key 'hots', expected a key of a scenario, did you mean 'host'?",
        "--set seed=-1: found '-1', expected a whole number from 0",
    ]
    assert wrong(path, "guests.vm7.memory=1G", "policy=stagd") == [
        "--set guests.vm7.memory=1G: found 'vm7' in 'guests.vm7.memory', expected a name, * or a number below 2,"
        " did you mean 'vm1'?",
        "--set policy=stagd: found 'stagd', expected the name of a policy, did you mean 'staged'?",
    ]


def test_a_fault_of_the_file_says_which_settings_there_were(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(TEXT.replace("512M", "5G"))
    (fault,) = wrong(path, "guests.vm0.memory=4G")
    assert fault.startswith(f"{path}:7:")
    assert fault.endswith("expected at most the guest's 4G (with guests.vm0.memory=4G)")


@pytest.mark.parametrize("text", ["seed", "=1", "seed="])
def test_a_setting_is_a_key_and_a_value(text: str) -> None:
    with pytest.raises(ValueError, match="expected KEY=VALUE such as"):
        read_setting(text, "--set")
