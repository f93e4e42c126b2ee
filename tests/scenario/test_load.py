# SPDX-License-Identifier: GPL-2.0-or-later
"""The loader: what a good file becomes, and what is said about a bad one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from gmemsim.errors import InputError
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.rules import Hysteresis
from gmemsim.scenario import load_scenario, parse_scenario
from gmemsim.scenario.model import (
    Allocate,
    Close,
    Convert,
    Expectation,
    ExpectedError,
    FaultIn,
    GuestSpec,
    HostSpec,
    Inject,
    Pin,
    PunchHole,
    Scenario,
    Unpin,
    Wait,
)

K, M, G = 1 << 10, 1 << 20, 1 << 30
MS, S = 1_000_000, 1_000_000_000

# A copy of the part of the design that fixes the keys, fence and all.
DESIGN = """
YAML, schema version in the first key, every size and time with a unit. These keys are fixed; add what is missing.

```yaml
gmemsim: 1
title: One 4K page shared out of a private 1G folio
seed: 0
host: {page_size: 4K, hugetlb: {1G: 4}, kernel_memory: unlimited, rcu_grace: 10ms, memdesc: struct-page, costs: default, xarray: rfc}
guests:
  - {name: vm0, memory: 2G, backing: 1G, count: 1, mapping: snp,
     policy: {split: uniform, when: conversion, merge: eager, vmemmap: whole, ordering: restructure-first}}
workload:                       # in order; `at` is simulated time (default: right after the previous step)
  - allocate: {guest: vm0, offset: 0, size: 2G}
  - convert: {guest: vm0, offset: 0, size: 4K, to: shared, at: 1s}
  - convert: {guest: vm0, offset: 0, size: 4K, to: private, at: 2s}
  # every step takes guest, offset, size (where they make sense) and at; also:
  # fault {by: guest|host}  pin {pages: each|first}  unpin  punch_hole  close  wait {for: 10ms}
  # inject {account, nth, mode: once|forever}: the nth object of that account from this step on cannot be had
  # generators: boot {...}  swiotlb {...}  scatter {...}  flip {...}  ; traces: replay {file: x.log, format: qemu}
  # a step that must fail says so: expect_error: {errno: EAGAIN, error_offset: 4K}
expect:
  - {metric: filemap_nodes.peak, eq: 4162}
  - {metric: vmemmap.peak_bytes, eq: 16773120}
  - {metric: filemap_nodes.live, eq: 1}
```
"""  # noqa: E501 - the line of the design is that long

SMALL = """\
gmemsim: 1
title: small
host: {hugetlb: {1G: 4, 2M: 8}}
guests:
  - {name: vm, memory: 2G, backing: 1G, count: 3}
  - {name: small, memory: 4M, backing: 2M}
workload:
  - allocate: {guest: vm, offset: 0, size: 2G, id: first}
expect:
  - {metric: filemap_nodes.live, eq: 1}
"""


def good(text: str) -> Scenario:
    return parse_scenario(text, source="x.yaml")


def faults(text: str | bytes) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse_scenario(text, source="x.yaml")
    return str(caught.value).splitlines()


def one_fault(old: str, new: str) -> str:
    """The one fault of the small scenario with ``old`` replaced, without the file's name."""
    assert SMALL.count(old) == 1
    (line,) = faults(SMALL.replace(old, new))
    return line.removeprefix("x.yaml:")


def step(text: str) -> str:
    """The one fault of the small scenario with another step, from the message on."""
    (line,) = faults(SMALL.replace("expect:", f"  - {text}\nexpect:"))
    place, message = line.split(": ", 1)
    assert place.startswith("x.yaml:9:")
    return message


def guest(text: str) -> str:
    """The one fault of the small scenario with another guest, from the message on."""
    (line,) = faults(SMALL.replace("workload:", f"  - {text}\nworkload:"))
    place, message = line.split(": ", 1)
    assert place.startswith("x.yaml:7:")
    return message


def expectation(text: str) -> str:
    """The one fault of the small scenario with another expectation, from the message on."""
    (line,) = faults(f"{SMALL}  - {text}\n")
    place, message = line.split(": ", 1)
    assert place.startswith("x.yaml:11:")
    return message


def test_the_example_of_the_design_loads_as_it_is_printed() -> None:
    found = re.search(r"```yaml\n(.*?)```", DESIGN, re.DOTALL)
    assert found is not None
    policy = Policy(split="uniform", when="conversion", merge="eager", vmemmap="whole", ordering="restructure-first")
    assert good(found[1]) == Scenario(
        title="One 4K page shared out of a private 1G folio",
        seed=0,
        host=HostSpec(
            page_size=4 * K,
            hugetlb={G: 4},
            kernel_memory=None,
            rcu_grace=10 * MS,
            memdesc="struct-page",
            costs="default",
            xarray="rfc",
        ),
        guests=(GuestSpec(name="vm0", memory=2 * G, backing=G, count=1, mapping="snp", policy=policy),),
        workload=(
            Allocate(guest="vm0", offset=0, size=2 * G),
            Convert(guest="vm0", offset=0, size=4 * K, to="shared", at=1 * S),
            Convert(guest="vm0", offset=0, size=4 * K, to="private", at=2 * S),
        ),
        expect=(
            Expectation(metric="filemap_nodes.peak", op="eq", value=4162),
            Expectation(metric="vmemmap.peak_bytes", op="eq", value=16773120),
            Expectation(metric="filemap_nodes.live", op="eq", value=1),
        ),
        source="x.yaml",
    )


def test_what_is_absent_has_its_default() -> None:
    scenario = parse_scenario(
        "gmemsim: 1\nguests: [{name: a, memory: 4K, backing: 4K}]\nworkload: []\n", source="dir/tiny.yaml"
    )
    assert scenario == Scenario(
        title="tiny", guests=(GuestSpec(name="a", memory=4 * K, backing=4 * K),), source="dir/tiny.yaml"
    )
    assert scenario.host == HostSpec()
    assert scenario.guests[0].policy == Policy()
    assert scenario.guests[0].mapping == "snp"


def test_every_step() -> None:
    text = """
  - fault: {guest: small, offset: 2M, size: 4K, by: host}
  - pin: {guest: small, offset: 0, size: 8K, pages: first, id: pinned}
  - convert: {guest: all, offset: 0, size: 8K, to: private, expect_error: {errno: EAGAIN, error_offset: 4K}}
  - unpin: {guest: small, offset: 0, size: 8K}
  - punch_hole: {guest: vm-2, offset: 1G, size: 1G}
  - wait: {for: 10ms}
  - inject: {account: vmemmap, nth: 3, mode: forever}
  - close: {guest: vm, at: 1min}
"""
    scenario = good(SMALL.replace("\nexpect:", text + "expect:"))
    assert scenario.workload[1:] == (
        FaultIn(guest="small", offset=2 * M, size=4 * K, by="host"),
        Pin(guest="small", offset=0, size=8 * K, pages="first", id="pinned"),
        Convert(
            guest="all",
            offset=0,
            size=8 * K,
            to="private",
            expect_error=ExpectedError(errno="EAGAIN", error_offset=4 * K),
        ),
        Unpin(guest="small", offset=0, size=8 * K),
        PunchHole(guest="vm-2", offset=G, size=G),
        Wait(duration=10 * MS),
        Inject(account="vmemmap", nth=3, mode="forever"),
        Close(guest="vm", at=60 * S),
    )
    assert (scenario.workload[1].where.line, scenario.workload[1].where.column) == (9, 5)


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("staged", "staged"),
        ("nonuniform", "nonuniform"),
        ("{ladder: [18, 12, 6, 0]}", (18, 12, 6, 0)),
        ("[18, 12, 6, 0]", (18, 12, 6, 0)),
    ],
)
def test_forms_of_split(text: str, split: object) -> None:
    scenario = good(SMALL.replace("count: 3}", f"policy: {{split: {text}}}}}"))
    assert scenario.guests[0].policy.split == split


@pytest.mark.parametrize(
    ("text", "merge"), [("cleanup", "cleanup"), ("never", "never"), ("{hysteresis: 3}", Hysteresis(3))]
)
def test_forms_of_merge(text: str, merge: object) -> None:
    scenario = good(SMALL.replace("count: 3}", f"policy: {{merge: {text}}}}}"))
    assert scenario.guests[0].policy.merge == merge


def test_names_address_groups_instances_and_all() -> None:
    scenario = good(SMALL)
    assert scenario.guest_names == ("vm-0", "vm-1", "vm-2", "small")
    assert [name for name, _ in scenario.instances("vm")] == ["vm-0", "vm-1", "vm-2"]
    assert scenario.instances("vm-1") == (("vm-1", scenario.guests[0]),)
    assert scenario.instances("small") == (("small", scenario.guests[1]),)
    assert [name for name, _ in scenario.instances("all")] == list(scenario.guest_names)
    with pytest.raises(KeyError):
        scenario.instances("vm-3")


def test_steps_that_stand_elsewhere_too_are_read_there() -> None:
    text = """\
gmemsim: 1
guests: [{name: vm0, memory: 2M, backing: 4K}]
workload: &w [wait: {for: 1s}, wait: {for: 2s}]
expect: *w
"""
    told = ("x.yaml:3:15: found the key 'wait', expected a key of an expectation", "x.yaml:3:15: found no operator")
    for words in told:
        assert any(fault.startswith(words) for fault in faults(text)), faults(text)


def test_an_alias_is_the_anchored_value() -> None:
    text = SMALL.replace("count: 3}", "policy: &p {split: staged}}").replace("backing: 2M", "backing: 2M, policy: *p")
    scenario = good(text)
    assert scenario.guests[1].policy == Policy(split="staged")


def test_quotes_make_no_difference_to_sizes_and_names() -> None:
    assert good(SMALL.replace("4M", '"4M"').replace("backing: 2M", "'backing': '2M'")) == good(SMALL)


def test_words_that_yaml_1_1_takes_for_something_else_are_text() -> None:
    for word in ("on", "yes", "010", "1:30", "1_000", "0x10", "~", "null", "2026-01-01"):
        assert good(SMALL.replace("title: small", f"title: {word}")).title == word


@pytest.mark.parametrize(
    "word", ["on", "yes", "010", "1:30", "1_000", "0x10", "+3", "3.0", ".5", "~", "٣", '"3"', "1e1"]
)
def test_and_never_numbers(word: str) -> None:
    shown = word.strip('"')
    assert one_fault("count: 3", f"count: {word}") == f"5:48: found {shown!r}, expected a whole number from 1 to 4096"


@pytest.mark.parametrize("word", ["yes", "on", "True", '"true"'])
def test_nor_truth_values(word: str) -> None:
    shown = word.strip('"')
    message = one_fault("host: {", f"host: {{account_nodes: {word}, ")
    assert message == f"3:23: found {shown!r}, expected true or false"


TOO_BIG = "9" * 30 + "P"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("gmemsim: 1", "gmemsim: 2", "1:10: found '2', expected the version of the file format, 1"),
        ("gmemsim: 1", "gmemsim: [1]", "1:10: found a list, expected the version of the file format, 1"),
        ("gmemsim: 1", "# none", "2:1: found no key 'gmemsim', expected a scenario to have one"),
        ("title", "titel", "2:1: found the key 'titel', expected a key of a scenario, did you mean 'title'?"),
        ("title: small", "title: {a: b}", "2:8: found a mapping, expected one line of text"),
        ("title: small", 'title: "a\\nb"', "2:8: found 'a\\nb', expected one line of text"),
        ("title: small", "seed: 1.5", "2:7: found '1.5', expected a whole number from 0"),
        ("title: small", "seed:", "2:6: found nothing, expected a whole number from 0"),
        ("title: small", "title: &a [*b]", "2:12: found the alias 'b', expected one of an anchor before it"),
        ("title: small", "title: !!int 3", "2:8: found the tag 'tag:yaml.org,2002:int', expected a value without one"),
        ("title: small", "[a]: b", "2:1: found a list as a key, expected a name"),
        (
            "small\nhost",
            "a\nseed: 1\nseed: 2\nhost",
            "4:1: found the key 'seed' again, expected it once (first at 3:1)",
        ),
        ("hugetlb: {", "page_size: 8K, hugetlb: {", "3:19: found '8K', expected one of 4K, 16K, 64K"),
        ("2M: 8", "2M: 8, 2048K: 1", "3:32: found the size '2048K' again, expected it once"),
        ("2M: 8", "2M: 8, 3M: 1", "3:17: found 3M, expected 64K, 2M, 32M or 1G: no machine has others with 4K pages"),
        ("2M: 8", "2M: -1", "3:29: found '-1', expected a whole number from 0"),
        ("{1G: 4, 2M: 8}", "4", "3:17: found '4', expected hugepages by size, such as {1G: 4}"),
        ("1G: 4, ", "", "5:37: found hugepages of 1G, expected a size in host.hugetlb (2M)"),
        ("memory: 4M", "memory: 4", "6:27: found '4', expected a size with a unit, such as 4K or 1G"),
        ("memory: 4M", "memory: -4M", "6:27: found '-4M', expected a size with a unit, such as 4K or 1G, not negative"),
        ("memory: 4M", "memory: 0", "6:27: found '0', expected more than 0"),
        ("memory: 4M", "memory: 16385P", "6:27: found '16385P', expected less than 2^63"),
        ("memory: 4M", f"memory: {TOO_BIG}", f"6:27: found {TOO_BIG!r}, expected less than 2^63"),
        ("memory: 4M", "memory: 0.3K", "6:27: found '0.3K', which is not a whole number of bytes"),
        ("memory: 4M", "memory: 3M", "6:27: found 3M, expected a multiple of the backing 2M"),
        ("memory: 4M, ", "", "6:5: found no key 'memory', expected a guest to have one"),
        ("name: vm", "name: 7", "5:12: found '7', expected a name (a letter, then letters, digits, _ and -)"),
        ("name: small", "name: vm", "6:12: found a second guest 'vm', expected each name once"),
        ("name: small", "name: vm-1", "6:12: found a second guest 'vm-1', expected each name once"),
        ("name: small", "name: all", "6:12: found the name 'all', expected another: it means every guest"),
        ("count: 3", "count: 0", "5:48: found '0', expected a whole number from 1 to 4096"),
        ("count: 3", "count: 4096", "6:5: found more than 4096 guests in all, expected fewer"),
        ("count: 3", "mapping: spn", "5:50: found 'spn', expected one of plain, snp, tdx, did you mean 'snp'?"),
        ("eq: 1}", "eq: x}", "10:38: found 'x', expected a plain decimal number"),
        ("eq: 1}", "eq: 1e999}", "10:38: found '1e999', expected a plain decimal number"),
    ],
)
def test_one_wrong_value_is_one_fault(old: str, new: str, fault: str) -> None:
    assert one_fault(old, new) == fault


@pytest.mark.parametrize(
    ("policy", "fault"),
    [
        (
            "split: stagd",
            "found 'stagd', expected one of uniform, staged, nonuniform, nonuniform-all-or-nothing,"
            " did you mean 'staged'?",
        ),
        ("split: {ladder: [9, 0]}", "found ladder [9, 0] starts at order 9, but the backing 1G is order 18"),
        ("split: [18, 18, 0]", "found the ladder '[18, 18, 0]', expected decreasing orders down to 0"),
        ("split: [18, 9]", "found the ladder '[18, 9]', expected decreasing orders down to 0"),
        ("split: []", "found the ladder '[]', expected decreasing orders down to 0"),
        ("split: {ladder: 18}", "found '18', expected a list (orders such as [18, 9, 0])"),
        ("split: {stairs: [18, 0]}", "found the keys 'stairs', expected the one key 'ladder'"),
        ("merge: {hysteresis: 0}", "found '0', expected a whole number from 1"),
        ("merge: [eager]", "found a list, expected one of eager, cleanup, never"),
        ("vmemmap: half", "found 'half', expected one of whole, reoptimize, partial, off"),
        ("when: always", "found 'always', expected one of conversion, fault"),
        ("ordering: {}", "found a mapping, expected one of restructure-first, attributes-first, reserve-first"),
        ("spilt: uniform", "found the key 'spilt', expected a key of a policy, did you mean 'split'?"),
    ],
)
def test_a_wrong_policy(policy: str, fault: str) -> None:
    assert guest(f"{{name: x, memory: 1G, backing: 1G, policy: {{{policy}}}}}").startswith(fault)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{name: x, memory: 6K, backing: 4K}", "found 6K, expected a multiple of the page size 4K"),
        ("{name: x, memory: 12K, backing: 6K}", "found 6K, expected a multiple of the page size 4K"),
        (
            "{name: x, memory: 12K, backing: 12K}",
            "found 12K, expected 64K, 2M, 32M or 1G: no machine has others with 4K pages",
        ),
        (
            "{name: x, memory: 2G, backing: 2G}",
            "found 2G, expected 64K, 2M, 32M or 1G: no machine has others with 4K pages",
        ),
        (
            "x",
            "found 'x', expected a guest with name, memory, backing, count, mapping, policy, conversion, vcpus,"
            " initially_shared, stage2, kernel_memory, node",
        ),
    ],
)
def test_a_wrong_guest(text: str, fault: str) -> None:
    assert guest(text) == fault


def test_base_pages_need_no_pool() -> None:
    text = "gmemsim: 1\nguests: [{name: a, memory: 64K, backing: 64K}]\nworkload: []\nhost: {page_size: 64K}\n"
    assert good(text).guests[0].backing == 64 * K


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("punch_hol: {}", "found the step 'punch_hol', expected a step, did you mean 'punch_hole'?"),
        ("convert", "found 'convert', expected a step, such as convert: {guest: vm0, offset: 0, size: 4K, to: shared}"),
        ("{}", "found a mapping, expected a step, such as convert: {guest: vm0, offset: 0, size: 4K, to: shared}"),
        ("wait: 10ms", "found '10ms', expected the step wait with at, id, for"),
        ("wait: {for: ١ms}", "found '١ms', expected a time with a unit (ns, us, ms, s or min), such as 10ms"),
        ("wait: {for: 10}", "found '10', expected a time with a unit (ns, us, ms, s or min), such as 10ms"),
        ("wait: {for: 300000000min}", "found '300000000min', expected less than 2^63"),
        (
            "wait: {for: 1s, expect_error: {errno: EIO}}",
            "found the key 'expect_error', expected a key of the step wait",
        ),
        ("close: {}", "found no key 'guest', expected the step close to have one"),
        ("close: {guest: vm-3}", "found 'vm-3', expected the name of a guest, did you mean 'vm-2'?"),
        ("close: {guest: q}", "found 'q', expected the name of a guest (all, vm-0, vm-1, vm-2, vm, small)"),
        ("close: {guest: vm, id: first}", "found the id 'first' again, expected it once (first at 8:52)"),
        ("unpin: {guest: vm, offset: 1K, size: 4K}", "found 1K, expected a multiple of the page size 4K"),
        ("unpin: {guest: vm, offset: 0, size: 0}", "found 0, expected more (or expect_error: {errno: EINVAL} to see"),
        ("unpin: {guest: vm, offset: 1G, size: 2G}", "found a range that ends at 3G, expected at most the guest's 2G"),
        (
            "unpin: {guest: vm, offset: 2G, size: 4K}",
            "found a range that ends at 2097156K, expected at most the guest's 2G",
        ),
        ("unpin: {guest: all, offset: 0, size: 1G}", "found a range that ends at 1G, expected at most the guest's 4M"),
        (
            "unpin: {guest: vm, offset: 0, size: 4K, expect_error: {errno: EAGIN}}",
            "found 'EAGIN', expected the name of an errno, such as EAGAIN, did you mean 'EAGAIN'?",
        ),
        (
            "inject: {account: vmemap, nth: 1}",
            "found 'vmemap', expected one of filemap_nodes, registry_nodes, attributes,",
        ),
        ("inject: {account: any, nth: 0}", "found '0', expected a whole number from 1"),
        ("swiotlb: {guest: vm, min: 3G, max: 3G}", "found a bounce buffer too large for the low memory of 2G"),
        ("swiotlb: {guest: vm, min: 1K}", "found 1K, expected a multiple of the page size 4K"),
        ("flip: {guest: small, count: 1, interval: 1s, offset: 4M}", "found an end at 4100K, expected at most 4M"),
        ("flip: {guest: small, count: 1, interval: 1s, size: 8M}", "found an end at 8M, expected at most 4M"),
        ("flip: {guest: small, count: 100000000, interval: 1000000s}", "found more than 2^63 ns in all, expected less"),
        ("scatter: {guest: small, count: 1025}", "found 1025 allocations, expected at most 1024, which fit into the"),
        ("scatter: {guest: small, count: 1, offset: 4M}", "found an end at 4M, expected at most 4M"),
        ("scatter: {guest: small, count: 1, size: 6M}", "found an end at 6M, expected at most 4M"),
        (
            "boot: {guest: vm, swiotlb_max: 0, ring_size: 1G}",
            "found 130 buffers to share, expected at most 1, which fit",
        ),
        ("boot: {guest: vm, firmware_pages: 1000000}", "found 1000000 pages, expected at most 492544, which fit below"),
        ("granule: {guest: small, count: 1025}", "found 1025 allocations, expected at most 1024, which fit into 2 gra"),
        ("granule: {guest: small, count: 1, each: 4M}", "found 2M, expected at least an allocation (4M)"),
        ("granule: {guest: small, count: 1, offset: 4K}", "found 4K, expected a multiple of 2M"),
        ("granule: {guest: small, count: 1, arrival: burst}", "found 'burst', expected one of fixed, poisson, bursts"),
        ("psc: {guest: small, size: 6M, to: shared}", "found an end at 6M, expected at most 4M"),
        ("psc: {guest: small, size: 4M, to: shared, entries: 254}", "found '254', expected a whole number from 1 to"),
        ("mapgpa: {guest: small, offset: 2M, size: 4M, to: private}", "found an end at 6M, expected at most 4M"),
        ("lazy_accept: {guest: small, offset: 8M}", "found an end at 8M, expected at most 4M"),
        ("lazy_accept: {guest: small, unit: 12K}", "found 12K, expected a part of the range of 4M"),
        ("kexec: {guest: small, piece: 1K}", "found 1K, expected a multiple of the page size 4K"),
        ("kexec: {guest: small, streams: other}", "found 'other', expected one of own, same"),
        ("parallel: {}", "found no key 'steps', expected the step parallel to have one"),
        ("parallel: {steps: []}", "found no steps, expected at least one that parallel is made of"),
        ("parallel: {steps: 3}", "found '3', expected a list (steps)"),
        ("parallel: {steps: [close: {guest: vm}]}", "found the step 'close', expected a step that parallel can"),
        ("vfio: {steps: [vfio: {steps: []}]}", "found the step 'vfio', expected a step that vfio can be made of"),
        (
            "parallel: {steps: [flip: {guest: vm, count: 1, interval: 1s, id: x}]}",
            "found the key 'id', expected a key of the step flip",
        ),
        (
            "parallel: {steps: [flip: {guest: vm, count: 1, interval: 1s}, kexec: {guest: vn-0}]}",
            "found 'vn-0', expected the name of a guest, did you mean 'vm-0'?",
        ),
        (
            "parallel: {at: 2s, steps: [flip: {guest: vm, count: 1, interval: 1s, at: 1s}]}",
            "found 1 s, expected not before 2 s, when the step before it ends",
        ),
        ("vfio: {steps: [flip: {guest: small, count: 1, interval: 1s, size: 8M}]}", "found an end at 8M, expected"),
        ("boot: {guest: small}", "found a bounce buffer too large for the low memory of 4M, expected a smaller one"),
    ],
)
def test_a_wrong_step(text: str, fault: str) -> None:
    assert step(text).startswith(fault)


def test_a_step_that_must_be_refused_for_its_range_may_have_any() -> None:
    text = "  - convert: {guest: vm, offset: 3G, size: 0, to: shared, expect_error: {errno: EINVAL}}\nexpect:"
    assert good(SMALL.replace("expect:", text)).workload[1] == Convert(
        guest="vm", offset=3 * G, size=0, to="shared", expect_error=ExpectedError(errno="EINVAL")
    )


def test_a_second_key_in_a_step_is_pointed_at() -> None:
    text = "  - close: {guest: vm}\n    size: 4K\nexpect:"
    (line,) = faults(SMALL.replace("expect:", text))
    assert line == "x.yaml:10:5: found a second key 'size', expected one step in each item (are its keys indented?)"


@pytest.mark.parametrize(
    "before",
    [
        "wait: {for: 2s}",
        "close: {guest: vm, at: 2s}",
        "scatter: {guest: vm, count: 9, duration: 1s, stagger: 500ms}",
        "kexec: {guest: vm, at: 1900ms}",
        "psc: {guest: vm, size: 1G, to: shared, duration: 2s}",
        "parallel: {at: 1s, steps: [kexec: {guest: vm, at: 1900ms}, mapgpa: {guest: vm, size: 4M, to: shared}]}",
        "vfio: {steps: [flip: {guest: vm, count: 1, interval: 2s}, flip: {guest: small, count: 1, interval: 1s}]}",
    ],
)
def test_time_does_not_run_backwards(before: str) -> None:
    text = f"  - {before}\n  - close: {{guest: small, at: AT}}\nexpect:"
    assert good(SMALL.replace("expect:", text.replace("AT", "2s")))
    (line,) = faults(SMALL.replace("expect:", text.replace("AT", "1.9s")))
    assert line.endswith("found 1.9 s, expected not before 2 s, when the step before it ends")


def test_time_has_an_end() -> None:
    text = "  - wait: {for: 150000000min}\n  - wait: {for: 150000000min}\nexpect:"
    (line,) = faults(SMALL.replace("expect:", text))
    assert line == "x.yaml:10:5: found a step that ends after 2^63 ns, expected less (292 years)"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{metric: a, eq: 1, ne: 2}", "found eq and ne, expected one of eq, ne, le, ge, approx"),
        ("{metric: end_time_ns}", "found no operator, expected one of eq, ne, le, ge, approx"),
        ("{metric: end_time_ns, approx: 3}", "found approx alone, expected approx and rel together"),
        ("{metric: end_time_ns, eq: 3, rel: 0.1}", "found rel alone, expected approx and rel together"),
        ("{metric: end_time_ns, approx: 3, rel: 7}", "found '7', expected a number from 0 to 1"),
        ("{metric: end_time_ns, eq: 3, after: fist}", "found 'fist', expected the id of a step, did you mean 'first'?"),
        ("{eq: 3}", "found no key 'metric', expected an expectation to have one"),
        ("{metric: end_time_ns, equals: 3}", "found no operator, expected one of eq, ne, le, ge, approx"),
        ("[end_time_ns, 3]", "found a list, expected an expectation with metric, eq, ne, le, ge, approx, rel, after"),
    ],
)
def test_a_wrong_expectation(text: str, fault: str) -> None:
    lines = [line.split(": ", 1)[1] for line in faults(f"{SMALL}  - {text}\n")]
    assert fault in lines


def test_every_fault_of_a_file_is_reported_in_order() -> None:
    text = SMALL.replace("title", "titel").replace("4M", "4").replace("size: 2G", "size: 3G").replace("eq: 1", "eq: i")
    assert [line.split(" ")[0] for line in faults(text)] == [
        "x.yaml:2:1:",
        "x.yaml:6:27:",
        "x.yaml:8:44:",
        "x.yaml:10:38:",
    ]


def test_a_fault_causes_no_other() -> None:
    """A guest or an id that cannot be read is not also unknown where it is used."""
    text = SMALL.replace("name: vm", "name: v m").replace("id: first", "id: 1st") + (
        "  - {metric: guests.vm-0.vmemmap.live, eq: 0, after: first}\n"
    )
    assert [line.split(" ")[0] for line in faults(text)] == ["x.yaml:5:12:", "x.yaml:8:52:"]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "x.yaml:1:1: found an empty file, expected a mapping that begins with 'gmemsim: 1'"),
        (b"# nothing\n", "x.yaml:1:1: found an empty file, expected a mapping that begins with 'gmemsim: 1'"),
        (b"--- ~\n", "x.yaml:1:5: found '~', expected a mapping that begins with 'gmemsim: 1'"),
        (b"- a\n", "x.yaml:1:1: found a list, expected a mapping that begins with 'gmemsim: 1'"),
        (b"gmemsim", "x.yaml:1:1: found 'gmemsim', expected a mapping that begins with 'gmemsim: 1'"),
        (b"a: 1\nb: \xff\n", "x.yaml:2:4: found byte 0xff, expected UTF-8 text"),
        (b"\x7fELF\x02\x01\x01\0\0", "x.yaml:1:1: found '\\x7f', expected text"),
        (b"a: 1\n\0", "x.yaml:2:1: found '\\x00', expected text"),
    ],
)
def test_what_is_no_scenario_at_all(data: bytes, fault: str) -> None:
    assert faults(data)[0] == fault


def test_a_byte_order_mark_is_no_fault() -> None:
    assert parse_scenario(b"\xef\xbb\xbf" + SMALL.encode()).title == "small"


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(SMALL, encoding="utf-8")
    assert load_scenario(path).source == str(path)
    path.write_text("gmemsim: 1\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_scenario(str(path))
    assert str(caught.value).splitlines()[0].startswith(f"{path}:1:1: found no key 'guests'")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("missing", "found no such file, expected a scenario file"),
        ("", "found a directory, expected a scenario file"),
        ("a\0b", "found a name that no file has (embedded null byte), expected a scenario file"),
        ("n" * 300, "found that it cannot be read (File name too long), expected a scenario file"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, fault: str) -> None:
    with pytest.raises(InputError) as caught:
        load_scenario(os.path.join(tmp_path, name))  # noqa: PTH118 - Path refuses none of these names either
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).endswith(fault)


def test_a_file_without_end_is_not_read_to_it() -> None:
    with pytest.raises(InputError, match=r"^/dev/zero: found more than 8M, expected a scenario file$"):
        load_scenario("/dev/zero")


PRICED = """\
gmemsim: 1
host: {hugetlb: {2M: 1}, costs: default, prices: {rmp_updates: 250ns, bytes_cleared: 0.07ns, psmashes: 1us}}
guests: [{name: vm0, memory: 2M, backing: 2M, vcpus: 4}]
workload: []
"""


def test_prices_of_the_user_are_those_of_the_profile() -> None:
    scenario = parse_scenario(PRICED)
    assert scenario.host.prices == {"rmp_updates": 250, "bytes_cleared": 0.07, "psmashes": 1000}
    assert scenario.host.profile.figures["bytes_cleared"].ns == 0.07
    assert scenario.host.profile.figures["demotes"].ns is None
    assert scenario.guests[0].vcpus == 4
    assert parse_scenario(PRICED.replace(", vcpus: 4", "")).guests[0].vcpus == 16


@pytest.mark.parametrize(
    ("prices", "complaint"),
    [
        ("{rmp_update: 1ns}", "found 'rmp_update', expected one of nodes_allocated"),
        ("{rmp_update: 1ns}", "did you mean 'rmp_updates'?"),
        ("{psmashes: 250}", "found '250', expected a time with a unit"),
        ("{psmashes: -1ns}", "not negative"),
        ("7ns", "expected prices of work, such as {psmashes: 1us}"),
    ],
)
def test_a_wrong_price_is_refused_with_its_place(prices: str, complaint: str) -> None:
    text = PRICED.replace("{rmp_updates: 250ns, bytes_cleared: 0.07ns, psmashes: 1us}", prices)
    with pytest.raises(InputError) as caught:
        parse_scenario(text, source="x.yaml")
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("x.yaml:2:")
