# SPDX-License-Identifier: GPL-2.0-or-later
"""Policies of one's own: the two documented ones, and everything that can be wrong with such a file."""

from __future__ import annotations

import copy
import csv
import pickle
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from gmemsim.cli.main import gmemsim
from gmemsim.errors import InputError, KernelError
from gmemsim.gmem.guest import GuestMemfd
from gmemsim.gmem.own import Block, Touch, load_own
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.presets import read_policy
from gmemsim.host.geometry import Geometry
from gmemsim.host.host import Host
from gmemsim.scenario.format.load import parse_scenario

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "own-policy.md"
SECOND = 1_000_000_000
MIB, GIB = 1 << 20, 1 << 30


def documented() -> str:
    """The policies that the page shows."""
    return PAGE.read_text(encoding="utf-8").partition("<!-- file: policy.py -->\n```python\n")[2].partition("```")[0]


EXAMPLES = Path(tempfile.mkdtemp()) / "policy.py"
EXAMPLES.write_text(documented())


def guest_of(policy: Policy, pages: int = 1) -> GuestMemfd:
    host = Host(hugetlb={GIB: pages})
    guest = GuestMemfd(host, "vm0", size=pages * GIB, backing=GIB, policy=policy)
    guest.allocate(0, pages * GIB)
    return guest


# -- the documented ones -----------------------------------------------------------------------------------------------


def test_lazy_splits_at_the_second_touch() -> None:
    guest = guest_of(load_own(str(EXAMPLES), "Lazy"))
    guest.set_attributes(0, 2 * MIB, private=False)
    guest.fault(0, 4096, by="host")
    assert (guest.folios[18], len(guest.inode.host_mapped)) == (1, 0)
    guest.fault(MIB, 4096, by="host")
    assert (guest.folios[18], guest.folios[0]) == (0, 1 << 18)
    assert list(guest.inode.host_mapped.ranges(0, 1 << 18)) == [(256, 257)]
    guest.fault(MIB + 4096, 4096, by="host")
    assert list(guest.inode.host_mapped.ranges(0, 1 << 18)) == [(256, 258)], "base pages are mapped unasked"
    guest.check()


def test_lazy_counts_again_after_a_merge_and_splits_for_a_pin() -> None:
    guest = guest_of(load_own(str(EXAMPLES), "Lazy"))
    for _ in range(2):
        guest.set_attributes(0, 4096, private=False)
        for touches, whole in ((1, 1), (2, 0)):
            guest.fault(0, 4096, by="host")
            assert guest.folios[18] == whole, touches
        guest.set_attributes(0, 4096, private=True)
        assert guest.folios[18] == 1
        guest.check()
    guest.set_attributes(0, 4096, private=False)
    guest.pin(0, 4096)
    assert guest.folios[18] == 0
    guest.check()


def test_each_folio_that_is_touched_is_asked_about(tmp_path: Path) -> None:
    text = "class P:\n when = 'fault'\n split = 'staged'\n def may_split(self, t):\n  return t.offset != 4 << 20\n"
    guest = guest_of(load_own(written(tmp_path, text), "P"))
    guest.set_attributes(0, 8 * MIB, private=False)
    guest.fault(0, 4096, by="host")
    assert +guest.folios == {9: 511, 0: 512}
    guest.fault(4 * MIB, 4 * MIB, by="host")
    assert +guest.folios == {9: 510, 0: 1024}
    assert not guest.inode.host_mapped.disjoint(6 << 8, 8 << 8)
    assert guest.inode.host_mapped.disjoint(4 << 8, 6 << 8)


def test_what_has_been_split_has_not_been_touched_yet(tmp_path: Path) -> None:
    """Also where a piece of an earlier split, merged since, had been touched."""
    text = (
        "class P:\n    when = 'fault'\n    split = 'staged'\n    def may_split(self, t):\n        return t.number > 1\n"
    )
    guest = guest_of(load_own(written(tmp_path, text), "P"))
    for _ in range(2):
        guest.set_attributes(0, 8 * MIB, private=False)
        guest.fault(0, 4096, by="host")
        guest.fault(0, 4096, by="host")
        assert +guest.folios == {9: 511, 0: 512}
        guest.fault(2 * MIB, 4096, by="host")
        assert +guest.folios == {9: 511, 0: 512}, "its first touch"
        guest.set_attributes(0, 8 * MIB, private=True)
        assert guest.folios[18] == 1


def test_a_merge_is_told_how_often_the_block_was_split(tmp_path: Path) -> None:
    text = "class P:\n    def may_merge(self, block):\n        return block.splits < 3\n"
    guest = guest_of(load_own(written(tmp_path, text), "P"))
    for whole in (1, 1, 0):
        guest.set_attributes(0, 4096, private=False)
        guest.set_attributes(0, 4096, private=True)
        assert guest.folios[18] == whole


def test_what_is_no_python_and_has_no_line_is_said_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "raise SyntaxError('no line')\n")
    with pytest.raises(InputError) as caught:
        load_own(path, "P")
    assert str(caught.value) == f"{path}: found no line, expected Python"


def test_patient_merges_what_was_private_for_a_second() -> None:
    guest = guest_of(load_own(str(EXAMPLES), "Patient"))
    host = guest.host
    host.ledger.advance(SECOND)
    guest.set_attributes(0, 4096, private=False)
    guest.set_attributes(0, 4096, private=True)
    assert guest.folios[18] == 0
    for now, whole in ((2 * SECOND - 1, 0), (2 * SECOND, 1)):
        host.ledger.advance(now)
        guest.fault(512 * MIB, 4096)
        assert guest.folios[18] == whole
        guest.check()
    assert not guest.inode.waiting or guest.folios[18]


def test_what_waits_is_asked_of_no_more_once_it_is_whole() -> None:
    guest = guest_of(load_own(str(EXAMPLES), "Patient"))
    guest.set_attributes(0, 4096, private=False)
    guest.set_attributes(0, 4096, private=True)
    assert list(guest.inode.waiting) == [0]
    guest.host.ledger.advance(SECOND)
    for _ in range(2):
        guest.fault(512 * MIB, 4096)
    assert (guest.folios[18], list(guest.inode.waiting)) == (1, [])


def test_what_waits_and_cannot_be_merged_waits_on() -> None:
    """Without the second hugepage the tree has shrunk; it must grow for the merge, and the node is refused."""
    guest = guest_of(load_own(str(EXAMPLES), "Patient"), 2)
    guest.set_attributes(0, 4096, private=False)
    guest.punch_hole(GIB, GIB)
    guest.set_attributes(0, 4096, private=True)
    guest.host.ledger.advance(SECOND)
    guest.host.ledger.inject("filemap_nodes", 1)
    guest.fault(MIB, 4096)
    assert (guest.folios[18], list(guest.inode.waiting), guest.host.ledger.armed()) == (0, [0], ())
    guest.check()
    guest.fault(MIB, 4096)
    assert guest.folios[18] == 1
    guest.check()


def test_patient_merges_a_level_while_another_page_is_shared() -> None:
    guest = guest_of(load_own(str(EXAMPLES), "Patient"))
    guest.set_attributes(0, 4096, private=False)
    guest.set_attributes(512 * MIB, 4096, private=False)
    guest.set_attributes(0, 4096, private=True)
    guest.host.ledger.advance(SECOND)
    guest.fault(MIB * 4, 4096)
    assert (guest.folios[18], guest.folios[9], guest.folios[0]) == (0, 511, 512)
    guest.check()


@pytest.mark.parametrize("name", ["Lazy", "Patient"])
@pytest.mark.parametrize("seed", range(3))
def test_invariants_hold_whatever_happens(name: str, seed: int) -> None:
    rng = Random(seed)
    guest = guest_of(load_own(str(EXAMPLES), name), 2)
    for step in range(60):
        guest.host.ledger.advance(guest.host.ledger.now + rng.choice((1, SECOND // 3, SECOND)))
        offset, size = rng.randrange(0, 2 * GIB - 4 * MIB, 4096), rng.choice((4096, 2 * MIB, 4 * MIB))
        try:
            match rng.randrange(4):
                case 0 | 1:
                    guest.set_attributes(offset, size, private=rng.random() < 0.6)
                case 2:
                    guest.fault(offset, 4096, by="host")
                case _:
                    guest.fault(offset, size)
        except KernelError:
            pass
        try:
            guest.check()
        except AssertionError as error:
            raise AssertionError(f"{name}, seed {seed}, step {step}: {error}") from error
    guest.close()
    guest.host.ledger.advance(guest.host.ledger.now + 100 * SECOND)
    assert guest.host.ledger.tallies["filemap_nodes"].live == 0


def test_a_policy_that_answers_as_a_preset_does_is_that_preset(tmp_path: Path) -> None:
    path = written(
        tmp_path, "class P:\n    def rungs(self, order, geometry):\n        return [order, geometry.pmd_order, 0]\n"
    )
    own, staged = guest_of(load_own(path, "P")), guest_of(Policy(split="staged"))
    for guest in (own, staged):
        guest.set_attributes(4096, 2 * MIB, private=False)
        guest.set_attributes(4096, 4096, private=True)
        guest.check()
    assert own.folios == staged.folios
    assert own.host.work == staged.host.work


# -- what can be wrong -------------------------------------------------------------------------------------------------


def written(folder: Path, text: str) -> str:
    path = folder / "p.py"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("class Q:\n    pass\n", ": found no class 'P', expected one that answers"),
        ("P = 3\n", ": found no class 'P', expected one that answers"),
        ("class P:\n    pass\n  x\n", ":3:4: found unindent"),
        ("class P:\n    x = (1 2)\n", ":2:10: found invalid syntax"),
        ("import nonsense_that_is_not\n", ":1:1: found ModuleNotFoundError (No module named"),
        ("x = 1\n\ny = x / 0\n", ":3:5: found ZeroDivisionError (division by zero)"),
        ("raise SystemExit(3)\n", ":1:1: found SystemExit (3)"),
        ("class P:\n    def __init__(self):\n        boom()\n", ":3:9: found NameError (name 'boom' is not"),
        ("class P:\n    def __init__(self, x):\n        pass\n", ": found TypeError"),
        ("class P:\n    splt = 'staged'\n", ":1:1: found P.splt, expected a name that begins with _, or"),
        ("class P:\n    def may_mrege(self, block):\n        return True\n", "did you mean 'may_merge'?"),
        ("class P:\n    split = 'stagd'\n", ":1:1: P.split: found 'stagd', expected split to be one of"),
        ("class P:\n    split = 'stagd'\nclass Q:\n    pass\n", ":1:1: P.split: found 'stagd', expected"),
        ("class P:\n    split = 7\n", ":1:1: P.split: found '7', expected text as in --policy NAME=split:TEXT"),
        ("class P:\n    split = [18, 20]\n", ":1:1: found a policy that makes no sense: ladder [18, 20]"),
        ("class P:\n    merge = ['x']\n", ":1:1: P.merge: found "),
        ("class P:\n    def may_split(self, touch):\n        return True\n", "may_split is asked at host faults"),
        ("class P:\n    merge = 'never'\n    def may_merge(self, b):\n        return True\n", "never there are none"),
        ("class P:\n    split = 'staged'\n    def rungs(self, order, g):\n        return 0\n", "found split beside it"),
    ],
)
def test_a_file_that_is_no_policy_is_one_clear_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_own(path, "P")
    (fault,) = caught.value.faults
    assert str(fault).startswith(path + complaint if complaint.startswith(":") else path)
    assert complaint in str(fault)
    assert "\n" not in str(fault)


def test_a_mistake_in_a_policy_that_a_policy_loads_is_told_with_its_own_place(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("class B:\n    splt = 'staged'\n")
    path = written(
        tmp_path,
        "from gmemsim.gmem.own import load_own\n"
        f"class P:\n    def __init__(self):\n        load_own({str(tmp_path / 'base.py')!r}, 'B')\n",
    )
    with pytest.raises(InputError) as caught:
        load_own(path, "P")
    assert str(caught.value).startswith(f"{tmp_path / 'base.py'}:1:1: found B.splt, expected a name that begins")


def test_a_class_that_is_not_written_in_the_file_has_no_line(tmp_path: Path) -> None:
    path = written(tmp_path, "P = type('P', (), {'splt': 'staged'})\n")
    with pytest.raises(InputError) as caught:
        load_own(path, "P")
    (fault,) = caught.value.faults
    assert (fault.source, fault.line, fault.column) == (path, 0, 0)
    assert str(caught.value).startswith(f"{path}: found P.splt, expected a name")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_bytes(b"\xff\xfe")
    for name, reason in (("none.py", "No such file"), ("", "Is a directory"), ("b.py", "UTF-8")):
        with pytest.raises(InputError, match=reason):
            load_own(str(tmp_path / name), "P")


@pytest.mark.parametrize(
    "answer",
    [
        "(18, 20, 0)",
        "(9, 0)",
        "(18, 9)",
        "(18, 9, 9, 0)",
        "(18, 9.0, 0)",
        "(18, True, 0)",
        "'18-0'",
        "None",
        "()",
        "(18,)",
        "(0, 18)",
    ],
)
def test_orders_that_are_not_possible_are_refused(tmp_path: Path, answer: str) -> None:
    path = written(tmp_path, f"class P:\n    def rungs(self, order, geometry):\n        return {answer}\n")
    with pytest.raises(InputError) as caught:
        load_own(path, "P").rungs(18, Geometry(4096))
    assert str(caught.value).startswith(f"{path}:2:1: found the answer ")
    assert "of P.rungs, expected decreasing orders from 18 to 0" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("return 1", "5:1: found the answer '1' of P.may_split, expected True or False"),
        ("return None", "5:1: found the answer 'None' of P.may_split, expected True or False"),
        ("return touch.nmber > 1", "6:16: found AttributeError ('Touch' object has no attribute 'nmber') in"),
        ("return helper(touch)", "2:12: found KeyError ('x') in P.may_split"),
        ("touch.number = 7", "found FrozenInstanceError (can't set attribute) in P.may_split"),
        ("return self.may_split(touch)", "found RecursionError"),
    ],
)
def test_what_goes_wrong_in_an_answer_is_one_clear_line(tmp_path: Path, body: str, complaint: str) -> None:
    path = written(
        tmp_path,
        "def helper(touch):\n    return {}['x']\n"
        f"class P:\n    when = 'fault'\n    def may_split(self, touch):\n        {body}\n",
    )
    guest = guest_of(load_own(path, "P"))
    guest.set_attributes(0, 4096, private=False)
    with pytest.raises(InputError) as caught:
        guest.fault(0, 4096, by="host")
    (fault,) = caught.value.faults
    assert complaint in str(fault)
    assert fault.source == path
    assert "\n" not in str(fault)


# -- as values, and on the command line --------------------------------------------------------------------------------


def test_it_is_a_value_that_travels() -> None:
    policy = load_own(str(EXAMPLES), "Lazy")
    again = pickle.loads(pickle.dumps(policy))
    assert hash(again) == hash(policy)
    assert again == policy == copy.deepcopy(policy) == read_policy(f"x={EXAMPLES}:Lazy")[1]
    assert policy not in (load_own(str(EXAMPLES), "Patient"), Policy(when="fault"))
    assert read_policy(f"{EXAMPLES}:Lazy") == ("Lazy", policy)
    assert policy.as_file() == {"python": str(EXAMPLES), "class": "Lazy"}
    assert "Lazy" in repr(policy)


@pytest.mark.parametrize("question", [Touch, Block])
def test_what_a_policy_is_asked_is_made_by_names(question: Any) -> None:
    """So that more may be told later, and the tests that a user has of his policy go on."""
    values = {field.name: 1 for field in attrs.fields(question)}
    assert question(**values).now == 1
    with pytest.raises(TypeError, match="positional"):
        question(*values.values())


SCENARIO = """\
gmemsim: 1
host: {hugetlb: {1G: 1}}
guests: [{name: vm0, memory: 1G, backing: 1G, policy: {python: own_policy.py, class: Lazy}}]
workload:
  - allocate: {guest: vm0, offset: 0, size: 1G}
  - convert: {guest: vm0, offset: 0, size: 4K, to: shared}
  - fault: {guest: vm0, offset: 0, size: 4K, by: host, id: first}
  - fault: {guest: vm0, offset: 0, size: 4K, by: host, id: second}
expect:
  - {metric: filemap_nodes.live, eq: 1, after: first}
  - {metric: filemap_nodes.live, eq: 4162, after: second}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    (tmp_path / "own_policy.py").write_text(documented())
    (tmp_path / "s.yaml").write_text(SCENARIO)
    return tmp_path / "s.yaml"


def test_a_scenario_runs_python_only_if_the_user_says_so(scenario: Path) -> None:
    refused = CliRunner().invoke(gmemsim, ["run", str(scenario)])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == f"{scenario}:3:55: found a policy in Python, expected --allow-python to run its code\n"
    with pytest.raises(InputError):
        parse_scenario(SCENARIO, source=str(scenario))
    assert parse_scenario(SCENARIO, source=str(scenario), allow_python=True).guests[0].policy.asks_of_touches
    done = CliRunner().invoke(gmemsim, ["run", str(scenario), "--allow-python", "--json"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert f'"python": "{scenario.parent / "own_policy.py"}"' in done.stdout


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_commands_take_it_where_they_take_a_policy(scenario: Path, jobs: str) -> None:
    lazy = f"lazy={scenario.parent / 'own_policy.py'}:Lazy"
    options = ["--vary", f"policy=b-today;{lazy}", "--metric", "filemap_nodes.peak", "--csv", "--jobs", jobs]
    done = CliRunner().invoke(gmemsim, ["sweep", str(scenario), "--allow-python", *options])
    rows = csv.DictReader(done.stdout.splitlines())
    assert [row["filemap_nodes.peak"] for row in rows] == ["4162", "4162"], done.stderr
    text = SCENARIO.replace(", policy: {python: own_policy.py, class: Lazy}", "").replace(
        "id: second}", "id: second, at: 9s}"
    )
    scenario.write_text(text.split("expect")[0])
    done = CliRunner().invoke(gmemsim, ["compare", str(scenario), "--policy", "fault-time", "--policy", lazy, "--csv"])
    assert (done.exit_code, done.stderr) == (0, "")
    done = CliRunner().invoke(gmemsim, ["run", str(scenario), "--set", f"policy={lazy}", "--json"])
    assert done.exit_code == 0
    (scenario.parent / "own_policy.py").write_text(
        "class Lazy:\n    when = 'fault'\n    def may_split(self, t):\n        return t.x\n"
    )
    done = CliRunner().invoke(gmemsim, ["run", str(scenario), "--set", f"policy={lazy}"])
    assert (done.exit_code, done.stdout) == (2, "")
    found = "4:16: found AttributeError ('Touch' object has no attribute 'x') in Lazy.may_split"
    assert done.stderr == f"{scenario.parent / 'own_policy.py'}:{found}\n"
