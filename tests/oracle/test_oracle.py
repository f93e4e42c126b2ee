# SPDX-License-Identifier: GPL-2.0-or-later
"""The oracle itself: its driver against the golden traces, its rules, its shrinking; and a bounded comparison."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.bench.trace import bench_ops
from tests.oracle import kernel, shrink
from tests.oracle.compare import compare_chunk
from tests.oracle.generate import Character, Step, trace, traces
from tests.oracle.kernel import Results
from tests.oracle.rules import STOCK, Abilities, Rules, nodes_added, steps
from tests.oracle.watched import ALLOWED, WatchedInterpreter

GOLDEN = Path(__file__).parents[1] / "golden"

built = pytest.mark.skipif(not (kernel.BUILD / "gmem-oracle").exists(), reason="needs tests/oracle/build.sh")


def ops_of(trace: str) -> list[str]:
    return [line[2:] for line in trace.splitlines() if line.startswith("> ")]


def within(trace: str, abilities: Abilities) -> bool:
    """Whether the kernel can do every operation of the trace; ``usplit`` is upstream's split, wherever that ends."""
    kinds = {op.split()[0] for op in ops_of(trace)}
    return (
        all(steps(op, abilities) == [op] for op in ops_of(trace))
        and "usplit" not in kinds
        and (abilities.try_split or "try_split" not in kinds)
    )


CLEAN = sorted(GOLDEN.glob("[dr]*.txt"))
SUPPORTED = [path for path in CLEAN if within(path.read_text(), kernel.abilities())]


class Entry:
    """An array with one entry of order 18 at index 0, as far as the rules look."""

    def load(self, index: int) -> object:
        return "p1" if index < 1 << 18 else None

    def get_order(self, index: int) -> int:
        return 18 if index < 1 << 18 else 0


def allowed(*ops: str, abilities: Abilities = STOCK) -> bool:
    """Whether the rules of a kernel with ``abilities`` allow the last of ``ops`` after the others."""
    rules = Rules(abilities)
    for op in ops[:-1]:
        rules.note(op)
    return rules.allow(ops[-1], Entry())


def test_deep_split_goes_by_one_level_steps() -> None:
    assert steps("split 0 18 12 =") == ["split 0 18 12 ="]
    assert steps("split 0 18 9 p3") == ["split 0 18 12 p3", *(f"split {i << 12} 12 9 p3" for i in range(64))]
    assert len(steps("split 0 18 0 =")) == nodes_added(18, 0) == 4161


def test_rules_of_splits() -> None:
    assert allowed("split 0 18 0 =")
    assert not allowed("split 64 18 12 =")
    assert not allowed("split 0 17 12 =")
    assert not allowed("split 0 18 18 =")
    assert not allowed("split 262144 18 12 =")
    assert not allowed("fail_after 3", "split 0 18 0 ="), "failures are counted in allocations, not in steps"
    assert allowed("fail_after 3", "fail_after 0", "split 0 18 0 =")


def test_a_kernel_that_splits_deeper_is_asked_to() -> None:
    deep = Abilities(levels=3)
    assert steps("split 0 18 0 =", deep) == ["split 0 18 0 ="]
    assert allowed("fail_after 3", "split 0 18 0 =", abilities=deep), "then failures are compared too"
    assert len(steps("split 0 24 0 =", deep)) == nodes_added(24, 0)


def test_try_split_is_asked_of_a_kernel_that_has_it_and_where_it_is_right() -> None:
    newer = Abilities(try_split=True)
    assert not allowed("try_split 0 18 17 =")
    assert allowed("try_split 0 18 17 =", abilities=newer)
    assert allowed("try_split 0 18 9 =", abilities=newer), "refused by both"
    assert not allowed("try_split 0 18 5 =", abilities=newer), "leaves order 17 upstream"
    assert not allowed("try_split 64 18 17 =", abilities=newer)


def test_rules_of_kinds() -> None:
    assert allowed("store 5 v1", "find 0 9 p")
    assert not allowed("store 5 v1", "store 6 p1")
    assert not allowed("cmpxchg 5 v1 p1")
    assert allowed("store 5 v1", "new", "store 6 p1")


def test_rules_of_runs_whose_length_is_no_power_of_two() -> None:
    run = "store_range 1000000 1000040 p1"
    assert not allowed(run, "store_order 1000000 3 p2")
    assert allowed(run, "store_order 1000000 18 p2")
    assert not allowed(run, "store_range 1000020 1000060 0")
    assert allowed("store_range 0 262143 p1")
    assert not allowed("store_range 5 262144 p1"), "would cover a part of the entry"


def test_rules_of_watched_arrays() -> None:
    assert allowed("new", "watch")
    assert not allowed("new", "store 5 v1", "watch"), "nodes that are there already were told to nobody"
    assert not allowed("new", "listed")
    assert allowed("new", "watch", "listed")
    assert not allowed("new", "watch", "insert 5 v1"), "takes no callback"
    assert not allowed("new", "watch", "new", "listed")
    assert allowed("new", "watch", "split 0 18 0 ="), "by steps, which tell"
    assert not allowed("new", "watch", "split 0 18 0 =", abilities=Abilities(levels=3)), "KERNEL_DIFFERENCES, 9"


@pytest.mark.parametrize("eager", [False, True], ids=["lazy", "eager"])
def test_a_watched_array_lists_nodes_of_values(eager: bool) -> None:
    ours = WatchedInterpreter(eager=eager)
    ops = ["new", "watch", "store_order 0 9 v1", "listed", "split 0 9 0 =", "listed", "erase 7", "listed"]
    assert [ours.execute(op)[0] for op in ops][3::2] == ["listed=1", "listed=8", "listed=8"]
    ops = ["store 64 p1", "listed", "destroy", "listed"]
    assert [ours.execute(op)[0] for op in ops][1::2] == ["listed=7", "listed=0"]


def test_generated_traces_are_the_same_again_and_start_anew() -> None:
    first, second = (list(traces("7", 500)) for _ in range(2))
    assert first == second
    assert all(trace[0] == Step("new", ["ok"]) for trace in first)
    assert sum(map(len, first)) >= 500
    assert list(bench_ops(3, 4)) == list(bench_ops(3, 4))


def test_some_traces_are_watched_and_the_watched_hold_values() -> None:
    drawn = [Character.draw(random.Random(seed)) for seed in range(40)]
    assert {one.kind for one in drawn if one.watched} == {"v"}
    seed = next(seed for seed, one in enumerate(drawn) if one.watched)
    watched = list(trace(random.Random(seed), 400))
    assert watched[1] == Step("watch", ["ok"])
    assert {"listed"} < {step.op.split()[0] for step in watched} <= ALLOWED | {"watch"}


def test_shrinks_to_the_operations_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong_after_a_reserve(ops: Sequence[str]) -> list[Results]:
        answers = shrink.eager_answers(ops)
        if "reserve 7" in ops and ops.index("reserve 7") < len(ops) - 1 and ops[-1] == "get_order 3":
            answers[-1] = ["9"]
        return answers

    monkeypatch.setattr(shrink, "kernel_answers", wrong_after_a_reserve)
    noise = [f"store {index} v1" for index in range(40)]
    found = shrink.shrink([*noise, "reserve 7", *noise, "get_order 3"])
    assert found is not None
    assert [step.op for step in found.steps] == ["reserve 7", "get_order 3"]
    assert found.text().splitlines()[-1] == "# ours (lazy), result line 1: 0"


@pytest.mark.oracle
@built
def test_driver_reports_the_chunk_shift() -> None:
    assert "XA_CHUNK_SHIFT 6, node 576 bytes" in kernel.version()


@pytest.mark.oracle
@built
@pytest.mark.parametrize("path", SUPPORTED, ids=lambda path: path.stem)
def test_driver_gives_the_golden_results(path: Path) -> None:
    trace = path.read_text()
    assert kernel.replay(ops_of(trace)) == kernel.parse(trace.splitlines())


@pytest.mark.oracle
@built
@pytest.mark.parametrize("op", ["split 0 18 0 =", "split 0 12 0 =", "split 64 18 12 =", "try_split 0 18 12 ="])
def test_driver_refuses_what_this_kernel_gets_wrong(op: str) -> None:
    if kernel.abilities() != STOCK:
        pytest.skip("this kernel is not a stock 6.12")
    answers = kernel.replay(["store_order 0 18 p1", "hash", op, "hash"])
    assert answers[2] == ["unsupported"]
    assert answers[1] == answers[3]


@pytest.mark.oracle
@built
def test_the_kernel_keeps_the_same_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the callback of mm/workingset.c would list; and a split of ours that tells nobody is found out."""
    ops = ["new", "watch", "store_order 0 9 v1", "split 0 9 0 =", "erase 7", "listed", "store_order 0 9 0", "listed"]
    assert shrink.compare(ops) is None
    monkeypatch.setattr("gmemsim.xarray.split._observe_new", lambda *args: None)
    found = shrink.compare(ops)
    assert found is not None
    assert found.steps[-1] == Step("listed", ["listed=8"])


@pytest.mark.oracle
@built
def test_what_takes_no_callback_is_not_done_to_a_watched_array() -> None:
    refused = ["insert 5 v1", "cmpxchg 5 0 v1", "reserve 5", "release 5", "store_range 0 5 v1"]
    answers = kernel.replay(["new", "watch", *refused, "empty"])
    assert answers == [["ok"], ["ok"], *[["unsupported"]] * len(refused), ["1"]]


@pytest.mark.oracle
@built
def test_a_wrong_line_is_not_a_trace() -> None:
    with pytest.raises(kernel.OracleError, match="line 1: `stor` is not an operation"):
        kernel.replay(["stor 1 p1"])


@pytest.mark.oracle
@built
def test_bench_counts_nodes() -> None:
    timings = kernel.bench(["make4k 300000", "make4k 300000", "merge2m 300001", "load 7", "merge1g 300000"])
    make4k, merge2m, merge1g = timings["make4k"], timings["merge2m"], timings["merge1g"]
    assert (make4k.ops, make4k.acted, make4k.allocs) == (2, 1, nodes_added(18, 9) + nodes_added(9, 0))
    assert (merge2m.frees, merge1g.frees, timings["load"].acted) == (8, 65, 1)


@pytest.mark.oracle
@built
@pytest.mark.parametrize("seed", range(3))
def test_comparison(seed: int) -> None:
    tally = compare_chunk(f"test/{seed}", 700)
    assert not tally.different
    assert tally.ops >= 700
