# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``import gmemsim`` offers to scripts and notebooks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from matplotlib.figure import Figure

import gmemsim

PAGE = 4096
GIB = 1 << 30


def by_hand(policy: str = "staged") -> tuple[gmemsim.GuestMemfd, gmemsim.Watch]:
    host = gmemsim.Host(hugetlb={"1G": 1}, kernel_memory="64M", rcu_grace="10ms")
    guest = gmemsim.GuestMemfd(host, "vm0", size="1G", backing="1G", policy=policy)
    watch = gmemsim.Watch(guest, title="one page")
    watch.call(guest.allocate, 0, GIB)
    return guest, watch


def test_every_name_is_there_and_imported_on_use() -> None:
    for name in gmemsim.__all__:
        assert getattr(gmemsim, name) is not None
    code = "import sys, gmemsim; print(sorted({'numpy', 'attrs', 'matplotlib', 'pandas', 'yaml'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_result_a_comparison_and_an_explanation_are_text() -> None:
    scenario = gmemsim.with_policy(gmemsim.load_scenario("rfc-cover"), "mine=split:18-9-0,vmemmap:partial")
    result = gmemsim.run(scenario)
    assert result.scenario.guests[0].policy.vmemmap == "partial"
    shown = gmemsim.text(result)
    assert shown.startswith(f"{scenario.title}\n")
    assert "\x1b" not in shown
    assert not [line for line in shown.splitlines() if len(line) > 80 or line != line.rstrip()]
    comparison = gmemsim.compare(scenario, ["b-today", "staged"])
    assert "b-today" in gmemsim.text(comparison)
    assert "| staged " in gmemsim.markdown(comparison)


def test_one_conversion_is_explained() -> None:
    explained = gmemsim.explain("1G", policies=["b-today", "staged-partial"])
    assert explained.split.nodes == 4161
    assert explained.policies["staged-partial"].vmemmap_pages == 518
    assert repr(explained) == "<Explanation of 1G to 4K: 4,161 nodes>"
    assert "4,161" in gmemsim.text(explained, width=100)
    assert "staged-partial" in explained._repr_html_()
    assert gmemsim.explain("2M", policies=[]).split.vmemmap_pages == 7
    assert "ladder-1g" not in gmemsim.explain("2M").policies
    for wrong in ({"policies": ["ladder-1g"]}, {"policies": ["stagd"]}, {"new": "3M"}, {"new": "4M"}):
        with pytest.raises(ValueError, match=r"found|is not a power|starts at"):
            gmemsim.explain("2M", **wrong)


def test_sizes_and_policies_may_be_text() -> None:
    guest, _ = by_hand()
    assert (guest.size, guest.backing, guest.policy) == (GIB, GIB, gmemsim.presets()["staged"])
    assert repr(guest) == "<GuestMemfd vm0: 1G on 1G>"
    assert len(repr(guest.host)) < 80


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda host: gmemsim.Host(hugetlb={"1g": 1}), "did you mean '1G'"),
        (lambda host: gmemsim.Host(kernel_memory="64"), "expected"),
        (lambda host: gmemsim.GuestMemfd(host, "a", size="1G", backing="1G", policy="stagd"), "did you mean 'staged'"),
        (lambda host: gmemsim.Watch(), "expected at least one guest"),
    ],
)
def test_what_cannot_be_meant_is_a_clear_error(make: Callable[[gmemsim.Host], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(gmemsim.Host(hugetlb={"1G": 1}))


def test_only_calls_of_guests_that_are_watched_are_recorded() -> None:
    guest, watch = by_hand()
    other = gmemsim.GuestMemfd(guest.host, "vm1", size=PAGE, backing=PAGE)
    for method in (other.allocate, print):
        with pytest.raises(ValueError, match="expected a method of a guest that is watched"):
            watch.call(method, 0, PAGE)
    assert repr(watch) == "<Watch of vm0: 1 calls>"


def test_a_host_driven_by_hand_has_a_timeline_and_figures() -> None:
    guest, watch = by_hand()
    watch.wait("1s")
    watch.call(guest.set_attributes, 0, PAGE, private=False)
    watch.wait("1s")
    watch.call(guest.set_attributes, 0, PAGE, private=True)
    watch.wait("20ms")
    assert [(event.kind, event.time_ns, event.detail) for event in watch.timeline.events] == [
        ("allocate", 0, ""),
        ("convert", 1_000_000_000, "to shared"),
        ("convert", 2_000_000_000, "to private"),
    ]
    accounts = watch.summary["accounts"]
    assert (accounts["filemap_nodes"]["peak"], accounts["filemap_nodes"]["live"]) == (74, 1)
    assert watch.summary["conversions"] == {"requested": 2, "succeeded": 2, "failed": {}}
    assert isinstance(gmemsim.figure(watch), Figure)
    with pytest.raises(ValueError, match="expected the result of a scenario"):
        gmemsim.figure(watch, "map")


def test_a_call_that_fails_is_recorded_and_raised() -> None:
    guest, watch = by_hand("b-today")
    guest.host.ledger.inject("vmemmap", 1, "once")
    with pytest.raises(Exception, match="vmemmap"):
        watch.call(guest.set_attributes, 0, PAGE, private=False)
    assert watch.summary["conversions"]["failed"] == {"ENOMEM": 1}
    assert watch.timeline.events[-1].errno == "ENOMEM"
    with pytest.raises(ValueError, match="expected a method of a guest"):
        watch.call(print, 1)


def test_results_show_themselves() -> None:
    result = gmemsim.run(gmemsim.load_scenario("memcg"))
    assert repr(result).startswith('<Result "Limits of a guest\'s own": 2 of 3 conversions, peak ')
    assert "<table>" in result._repr_html_()
    assert isinstance(gmemsim.figure(result, "map"), Figure)


def test_titles_are_escaped() -> None:
    text = "gmemsim: 1\ntitle: <b>x\nguests: [{name: a, memory: 4K, backing: 4K}]\nworkload: []\n"
    assert "&lt;b&gt;x" in gmemsim.run(gmemsim.parse_scenario(text))._repr_html_()


def test_policies_are_compared() -> None:
    scenario = gmemsim.load_scenario("rfc-cover")
    comparison = gmemsim.compare(scenario, ["b-today", "mine=split:18-9-0"])
    assert comparison.names == ("b-today", "mine")
    assert "mine" in comparison._repr_html_()
    assert repr(comparison).endswith("of b-today, mine>")
    assert isinstance(gmemsim.figure(comparison), Figure)
    assert set(gmemsim.compare(scenario).names) >= {"b-today", "staged"}
    assert gmemsim.compare(scenario, {"x": gmemsim.Policy(split="staged")}).names == ("x",)


def test_data_frames_have_the_documented_columns() -> None:
    pytest.importorskip("pandas", reason="the extra `notebooks` brings pandas")
    result = gmemsim.run(gmemsim.load_scenario("rfc-cover"))
    assert gmemsim.samples(result)["filemap_nodes"].max() == 4162 * 576
    assert list(gmemsim.events(result)["kind"]) == ["allocate", "convert", "convert"]
