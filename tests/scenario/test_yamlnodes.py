# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading YAML: places, limits, and the same answers from both of PyYAML's parsers."""

from __future__ import annotations

import pytest
import yaml

from gmemsim.errors import InputError
from gmemsim.scenario.format import yaml as yamlnodes
from gmemsim.scenario.format.yaml import DEEPEST, Faults, ListNode, MapNode, Node, ScalarNode, read_yaml

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if hasattr(yaml, "CSafeLoader") else [])]


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__, autouse=True)
def _both_parsers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamlnodes, "_LOADER", request.param)


def read(text: str | bytes) -> tuple[Node | None, list[str]]:
    faults = Faults("f")
    node = read_yaml(text if isinstance(text, bytes) else text.encode(), faults)
    return node, [str(fault).removeprefix("f:") for fault in faults.error().faults]


def show(node: Node) -> object:
    """The node as Python values, scalars as text, with the place of each."""
    at = (node.where.line, node.where.column)
    if isinstance(node, ScalarNode):
        return (*at, node.text)
    if isinstance(node, ListNode):
        return (*at, [show(item) for item in node.items])
    assert isinstance(node, MapNode)
    return (*at, {key.text: show(value) for key, value in node.pairs})


def test_every_node_knows_its_place() -> None:
    node, faults = read("# é\na: [1, é, x]\nb:\n  - c: {d: on}\n")
    assert not faults
    assert node is not None
    assert show(node) == (
        2,
        1,
        {
            "a": (2, 4, [(2, 5, "1"), (2, 8, "é"), (2, 11, "x")]),
            "b": (4, 3, [(4, 5, {"c": (4, 8, {"d": (4, 12, "on")})})]),
        },
    )


def test_quoted_and_plain_are_told_apart() -> None:
    node, _ = read("[a, 'a', \"a\", ~, '', ]")
    assert isinstance(node, ListNode)
    assert [(n.text, n.plain) for n in node.items if isinstance(n, ScalarNode)] == [
        ("a", True),
        ("a", False),
        ("a", False),
        ("~", True),
        ("", False),
    ]


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        ("a: 1\n\tb: 2\n", "2:1", "found a tab, expected spaces"),
        ("a: 'x\n", "2:1", "found invalid YAML ("),
        ("a: [1, 2\n", "2:1", "found invalid YAML ("),
        ("a: b: c\n", "1:5", "found invalid YAML ("),
        ("a: *x\n", "1:4", "found the alias 'x', expected one of an anchor before it"),
        ("a: &x [*x]\n", "1:8", "found the alias 'x', expected one of an anchor before it"),
        ('a: "\\UFFFFFFFF"\n', "1:", "found invalid YAML ("),
        (f"%YAML 1.{'9' * 5000}\n--- a\n", "1:", "found invalid YAML ("),
        ("a: 1\n---\nb: 2\n", "2:1", "found a second document, expected one"),
        ("a: 1\n...\n- b\n", "3:1", "found"),
        ("a: !!python/object:os.system x\n", "1:4", "found the tag"),
        ("? {a: 1}\n: 2\n", "1:3", "found a mapping as a key, expected a name"),
        ("a: 1\na: 2\n", "2:1", "found the key 'a' again, expected it once (first at 1:1)"),
        ("a: {b: 1, 'b': 2}\n", "1:11", "found the key 'b' again, expected it once (first at 1:5)"),
    ],
)
def test_what_is_wrong_and_where(text: str, place: str, found: str) -> None:
    _, faults = read(text)
    assert len(faults) == 1
    assert faults[0].startswith(place)
    assert found in faults[0]
    assert len(faults[0].splitlines()) == 1


def test_several_faults_that_do_not_end_the_reading() -> None:
    node, faults = read("a: 1\na: !t 2\nb: {c: 1, c: 2}\n")
    assert isinstance(node, MapNode)
    assert [key.text for key, _ in node.pairs] == ["a", "b"]
    assert [fault.split(" ")[0] for fault in faults] == ["2:1:", "2:4:", "3:11:"]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "[[], {b: "])
def test_deep_nesting_is_refused(opening: str) -> None:
    _, faults = read(opening * 200_000)
    assert len(faults) == 1
    assert f"found more than {DEEPEST} levels of nesting" in faults[0]


def test_nesting_of_any_scenario_is_not() -> None:
    node, faults = read("[" * DEEPEST + "x" + "]" * DEEPEST)
    assert node is not None
    assert not faults


def test_a_billion_laughs_is_refused_by_counting() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 60)]
    _, faults = read("\n".join(lines))
    assert len(faults) == 1
    assert "found aliases for more than 2000000 values" in faults[0]


def test_an_alias_shares_its_node() -> None:
    node, faults = read("a: &x {b: 1}\nc: *x\n")
    assert not faults
    assert isinstance(node, MapNode)
    assert node.get("a") is node.get("c")
    assert node.get("d") is None
    assert node.values == 1 + 2 + 2 * 3


def test_a_name_that_is_not_printable_is_shown_on_one_line() -> None:
    faults = Faults("a\nb")
    read_yaml(b"a: [", faults)
    with pytest.raises(InputError) as caught:
        raise faults.error()
    assert len(str(caught.value).splitlines()) == 1
