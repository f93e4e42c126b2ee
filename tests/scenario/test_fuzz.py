# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever the bytes: a scenario, or faults of one line each.  Never another exception."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gmemsim.errors import InputError
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.scenario import Scenario, parse_scenario
from gmemsim.scenario.format import yaml as yamlnodes
from gmemsim.scenario.format.kinds import Choice, table
from gmemsim.scenario.format.load import step_types
from gmemsim.scenario.model import step_keys

STEP_TYPES = step_types()
FILES = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))
VALID = [path.read_bytes() for path in FILES]
assert VALID

TOKENS = sorted(
    {
        *b"{ } [ ] : , - ? & * ! | > ' \" % @ ` # \t \n".split(b" "),
        *(b"&a", b"*a", b"!!int ", b"<<: *a", b"---\n", b"...\n", b"%YAML 1.1\n", b"\xff", b"\xc3\xa9", b"\0", b"\\U"),
        *(b"0", b"-1", b"010", b"1:30", b"1_000", b"1e9", b"9" * 5000, b"1e999", b".inf", b".nan", b"4k", b"4K", b"2M"),
        *(b"1G", b"99999999P", b"-4K", b"0.5K", b"10ms", b"1min", b"on", b"true", b"null", b"~", b"all", b"unlimited"),
        *(b"[18, 9, 0]", b"{ladder: [18, 0]}", b"{hysteresis: 3}", b"guests.0.vmemmap.live", b"splits.1G->4K"),
        *(name.encode() for name in (*STEP_TYPES, *ACCOUNTS)),
        *(key.encode() for step in STEP_TYPES.values() for key in step_keys(step)),
        *(
            value.encode()
            for step in STEP_TYPES.values()
            for entry in table(step).values()
            if isinstance(entry.kind, Choice)
            for value in entry.kind.values
        ),
    }
)
WORD = re.compile(rb"[^\s{}\[\],:]+|[{}\[\],:]|\s+")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid file with a few of its words replaced, removed, repeated or cut, or bytes put anywhere."""
    words = WORD.findall(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(words)))
        match draw(st.sampled_from(("replace", "insert", "delete", "repeat", "swap", "cut", "bytes"))):
            case "replace":
                words[at : at + 1] = [draw(st.sampled_from(TOKENS))]
            case "insert":
                words.insert(at, draw(st.sampled_from(TOKENS)))
            case "delete":
                del words[at : at + draw(st.integers(1, 12))]
            case "repeat":
                words[at:at] = words[at : at + draw(st.integers(1, 30))]
            case "swap":
                other = draw(st.integers(0, len(words)))
                words[at : at + 1], words[other : other + 1] = words[other : other + 1], words[at : at + 1]
            case "cut":
                del words[at:]
            case _:
                words.insert(at, draw(st.binary(max_size=8)))
    return b"".join(words)


def outcome(data: bytes) -> Scenario | InputError:
    try:
        return parse_scenario(data, source="f.yaml")
    except InputError as error:
        return error


def load(data: bytes) -> None:
    """The property itself."""
    result = outcome(data)
    if isinstance(result, Scenario):
        for step in result.workload:
            if name := getattr(step, "guest", None):
                assert result.instances(name)
        return
    assert result.faults
    assert len(set(result.faults)) == len(result.faults)
    for fault in result.faults:
        line = str(fault)
        assert line.isprintable()
        # A replay step names a log, and what is wrong with a log is said of the log.
        own = re.match(r"f\.yaml(:\d+:\d+)?: found .*expected ", line)
        assert own or (fault.source != "f.yaml" and re.fullmatch(r".+: found .*expected a log", line)), line
        assert len(line) < 500


@given(mutated())
@settings(max_examples=400, deadline=None)
def test_mutations_of_valid_files(data: bytes) -> None:
    load(data)


@given(mutated())
@settings(max_examples=100, deadline=None)
def test_mutations_with_the_parser_written_in_python(data: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yamlnodes, "_LOADER", yaml.SafeLoader)
        load(data)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))))
@example(b"%YAML 1." + b"9" * 5000 + b"\n--- a")
@example(b'gmemsim: "\\ud800"')
@example(b'gmemsim: 1\ntitle: "\\ud800"\nguests: []\nworkload: []')
@example(b"? [a]\n: b")
@example(b"&a [*a]")
@example((FILES[0].parent / "replay-qemu.yaml").read_bytes())
@settings(max_examples=300, deadline=None)
def test_any_bytes(data: bytes) -> None:
    load(data)


VALUES = st.recursive(
    st.one_of(st.sampled_from([token.decode("latin-1") for token in TOKENS]), st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(sorted(STEP_TYPES)), inner)),
    max_leaves=5,
)


@st.composite
def reshaped(draw: st.DrawFn) -> bytes:
    """A valid file that is good YAML but has other values in places, written by PyYAML."""
    document = yaml.load(draw(st.sampled_from(VALID)), Loader=yaml.BaseLoader)
    for _ in range(draw(st.integers(1, 3))):
        node = document
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(node[key], dict | list) and draw(st.integers(0, 3)):
                node = node[key]
                continue
            node[key] = draw(VALUES)
            break
    return yaml.safe_dump(document).encode("utf-8")


@given(reshaped())
@settings(max_examples=300, deadline=None)
def test_files_of_another_shape(data: bytes) -> None:
    load(data)
