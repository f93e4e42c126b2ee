# SPDX-License-Identifier: GPL-2.0-or-later
"""Random traces for the live oracle, the same ones again from the same seed.

A trace starts with ``new`` and has a *character* drawn once: how large its index space is and where it lies, values or
pointers, whether allocations fail, whether runs of odd length occur. Its operations then prefer few places, so that
they meet each other. Every operation is executed at once by our own interpreter: an operation may depend on what the
array holds (a split names the order of the entry it splits), and :class:`~tests.oracle.rules.Rules` decides on the
state just before it. What the interpreter answers is kept: it is our side of the comparison.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import click
from attrs import frozen

from gmemsim.xarray.lab.interpreter import Interpreter
from tests.bench.trace import bench_ops
from tests.oracle import kernel
from tests.oracle.kernel import Results
from tests.oracle.rules import INDEX_MAX, LEVEL, Rules, is_deep, nodes_added
from tests.oracle.watched import ALLOWED, WatchedInterpreter

SPACES = (0, 1, 3, 5, 6, 7, 9, *2 * (12, 13, 18, 19, 20), *3 * (24, 28, 30, 36))
"""Bits of an index space: from one page to 2**36 pages (256 TiB); the tiny ones, which do little, less often."""

FAVOURED_ORDERS = (0, 1, 2, 5, 6, 7, 9, 11, 12, 13, 17, 18)
"""Ends and middles of levels; 9 is 2M and 18 is 1G in pages of 4K."""

SMALL = 500
"""Nodes up to which a trace dumps or lists the array; the limit of the golden traces."""

DEEPEST = 4161
"""Nodes that a deep split may add: as many as splitting 1G to 4K does."""

OFTEN_HASHED = 200
"""Nodes up to which every proposed ``hash`` is done; above, as much less often as there are more of them."""

LARGE = 9000
"""Nodes above which a trace ends early, and above which it makes no deep split: two 1G pages of 4K."""

WEIGHTS = {
    "store_order": 20,
    "split": 20,
    "store": 9,
    "load": 8,
    "erase": 6,
    "set_mark": 6,
    "hash": 5,
    "get_order": 4,
    "find": 4,
    "find_after": 4,
    "clear_mark": 3,
    "get_mark": 3,
    "count": 3,
    "store_range": 3,
    "try_split": 4,
    "insert": 2,
    "cmpxchg": 2,
    "reserve": 2,
    "release": 2,
    "marked": 1,
    "empty": 1,
    "dump": 0.5,
    "list": 0.5,
    "listed": 5,
    "destroy": 0.1,
}
"""How often each operation is proposed (``listed`` to a watched array).

``fail_after`` comes by a trace's character; all others always may."""

ENDING = ("hash", "count", "dump", "list", "listed", "destroy", "listed", "count")
"""How every trace ends; only a watched one says what is listed."""


class Step(NamedTuple):
    """One operation and what our interpreter answered."""

    op: str
    results: Results


@frozen
class Character:
    """What one trace is about; drawn once, so that traces differ by more than chance does between operations."""

    bits: int
    origin: int
    kind: str
    entries: int
    odd_runs: bool
    failure_rate: float
    deep_rate: float
    watched: bool

    @classmethod
    def draw(cls, rng: random.Random) -> Character:
        bits = rng.choice(SPACES)
        at_the_top = rng.random() < 0.1
        kind = rng.choice("vp")
        return cls(
            bits=bits,
            origin=INDEX_MAX + 1 - (1 << bits) if at_the_top else rng.choice((0, 0, 0, 1)) << bits,
            kind=kind,
            entries=rng.choice((2, 10, 1 << 20)),
            odd_runs=rng.random() < 0.4,
            failure_rate=rng.choice((0.0, 0.0, 0.02, 0.1)),
            deep_rate=rng.choice((0.0, 0.1, 0.5)),
            watched=kind == "v" and rng.random() < 0.5,
        )


def answer(interpreter: Interpreter, op: str) -> Results:
    """What our side answers; an exception is an answer as well, since the kernel's will differ from it."""
    try:
        return interpreter.execute(op)
    except Exception as error:
        return [f"raised {type(error).__name__}: {error}"]


class Proposer:
    """Draws operations that suit a character and the state of the array."""

    def __init__(self, rng: random.Random, character: Character, interpreter: Interpreter) -> None:
        self._rng = rng
        self._character = character
        self._interpreter = interpreter
        self._places: deque[int] = deque([character.origin], maxlen=24)
        self._last = character.origin + (1 << character.bits) - 1
        self._orders = [order for order in FAVOURED_ORDERS if order <= max(character.bits - 2, 0)]
        self._names = tuple(name for name in WEIGHTS if (name in ALLOWED if character.watched else name != "listed"))
        self._weights = tuple(WEIGHTS[name] for name in self._names)

    def propose(self) -> str:
        """An operation; the rules may still refuse it."""
        if self._rng.random() < self._character.failure_rate:
            return f"fail_after {self._rng.choice((0, 0, 1, 1, 2, 3, 5))} {self._rng.choice((1, 2, 2, 3))}"
        name = self._rng.choices(self._names, self._weights)[0]
        if name in ("dump", "list") and self._interpreter.array.nodes > SMALL:
            name = "hash"
        if name == "hash" and self._rng.random() * self._interpreter.array.nodes > OFTEN_HASHED:
            name = "count"  # a dump of thousands of nodes costs as much as thousands of operations
        return " ".join([name, *map(str, self._arguments(name))])

    def _arguments(self, name: str) -> tuple[object, ...]:
        match name:
            case "store" | "insert":
                return self._place(), self._entry(null=0.1)
            case "store_order":
                return self._store_order()
            case "split":
                return self._split()
            case "try_split":
                return self._split(one_step=True)
            case "store_range":
                return self._range()
            case "cmpxchg":
                return self._cmpxchg()
            case "find" | "find_after":
                return self._find()
            case "set_mark" | "clear_mark" | "get_mark":
                return self._present(), self._rng.randrange(3)
        return self._only_argument(name)

    def _only_argument(self, name: str) -> tuple[object, ...]:
        match name:
            case "marked":
                return (self._rng.randrange(3),)
            case "load" | "get_order":
                return (self._present(),)
            case "erase" | "reserve" | "release":
                return (self._place(),)
        return ()

    def _place(self) -> int:
        """An index: mostly at, beside or soon after one used before, else anywhere."""
        if self._rng.random() < 0.75:
            offset = self._rng.choice((0, 0, 0, 1, -1, 1 << self._rng.randrange(self._character.bits + 1)))
            index = self._rng.choice(self._places) + offset
            return min(max(index, self._character.origin), self._last)
        index = self._rng.randint(self._character.origin, self._last)
        self._places.append(index)
        return index

    def _present(self) -> int:
        """Mostly an index that has an entry, if any place's neighbourhood does."""
        place = self._place()
        found = self._interpreter.array.find(place) if self._rng.random() < 0.7 else None
        return found[0] if found else place

    def _order(self) -> int:
        """An order; the largest rarely, since each of them clears away most of what the trace has built."""
        if self._rng.random() < 0.8:
            return self._rng.choice(self._orders)
        return min(self._rng.randint(0, self._character.bits) for _ in range(3))

    def _entry(self, *, null: float = 0.0) -> str:
        if self._rng.random() < null:
            return "0"
        return f"{self._character.kind}{self._rng.randrange(self._character.entries)}"

    def _store_order(self) -> tuple[object, ...]:
        index, order = self._place(), self._order()
        self._places.append(index >> order << order)
        return index, order, self._entry(null=0.15)

    def _split(self, *, one_step: bool = False) -> tuple[object, ...]:
        """A split of an entry that is there, if one of a few places has any that can be split.

        ``one_step``: mostly by one order, which is all that try_split takes where it needs a node.
        """
        tree = self._interpreter.array
        for _ in range(6):
            index = self._present()
            order = tree.get_order(index)
            if order and tree.load(index) is not None:
                break
        else:
            return self._place(), 6, 0, "="
        entry = "=" if self._rng.random() < 0.7 else self._entry()
        new_order = order - 1 if one_step and self._rng.random() < 0.7 else self._smaller(order)
        return index >> order << order, order, new_order, entry

    def _smaller(self, order: int) -> int:
        """An order to split to: at most one level below, or now and then any that makes no more than 4161 nodes."""
        if self._rng.random() >= self._character.deep_rate or self._interpreter.array.nodes > LARGE:
            return self._rng.randint(max(order // LEVEL - 1, 0) * LEVEL, order - 1)
        deep = [new for new in range(order) if is_deep(order, new) and nodes_added(order, new) <= DEEPEST]
        return self._rng.choice(deep or [order - 1])

    def _range(self) -> tuple[object, ...]:
        entry = self._entry(null=0.3)
        if not self._character.odd_runs:
            order = self._order()
            first = self._place() >> order << order
            return first, first + (1 << order) - 1, entry
        first, last = self._place(), self._place()
        if self._rng.random() < 0.9:
            last = first + self._rng.randrange(1 << self._rng.randint(1, self._character.bits // 2 + 1))
        first, last = min(first, last), min(max(first, last), self._last)
        self._places.extend((first, last))
        return first, last, entry

    def _cmpxchg(self) -> tuple[object, ...]:
        """Mostly with the entry that is there as the old one, so that the exchange happens."""
        index = self._place()
        old = self._entry(null=0.3)
        if self._rng.random() < 0.7:
            old = answer(self._interpreter, f"load {index}")[0]
        return index, old, self._entry(null=0.2)

    def _find(self) -> tuple[object, ...]:
        last = self._rng.choice((INDEX_MAX, self._last, self._place()))
        return self._place(), last, self._rng.choice(("p", "p", 0, 1, 2))


def trace(rng: random.Random, limit: int) -> Iterator[Step]:
    """One random trace of at most ``limit`` operations (but at least ``new`` and the ending)."""
    interpreter = WatchedInterpreter(eager=False)
    rules = Rules(kernel.abilities())
    character = Character.draw(rng)
    proposer = Proposer(rng, character, interpreter)
    length = min(limit, rng.choice((30, 100, 300, 1000, 3000))) - len(ENDING) - 1
    proposals = (proposer.propose() for _ in range(4 * max(length, 0)))
    done = 0
    for op in ("new", "watch") if character.watched else ("new",):
        yield Step(op, answer(interpreter, op))
        rules.note(op)
    for op in proposals:
        if done >= length or interpreter.array.nodes > 2 * LARGE:
            break
        if rules.allow(op, interpreter.array):
            yield Step(op, answer(interpreter, op))
            rules.note(op)
            done += 1
    for op in ENDING if character.watched else (op for op in ENDING if op != "listed"):
        if op not in ("dump", "list") or interpreter.array.nodes <= SMALL:
            yield Step(op, answer(interpreter, op))


def traces(seed: str, ops: int) -> Iterator[list[Step]]:
    """Random traces with ``ops`` operations between them, give or take the last one's ending."""
    rng = random.Random(seed)
    while ops > 0:
        steps = list(trace(rng, ops))
        ops -= len(steps)
        yield steps


@click.command()
@click.option("--ops", default=1000, show_default=True, help="operations to generate")
@click.option("--seed", default=0, show_default=True)
@click.option("--bench", is_flag=True, help="the timing trace instead of random traces")
def main(ops: int, seed: int, bench: bool) -> None:
    """Print a random trace without results, ready for `build/gmem-oracle` (or `gmem-oracle-fast --bench`)."""
    random_ops = (f"> {step.op}" for steps in traces(str(seed), ops) for step in steps)
    for line in bench_ops(seed, ops) if bench else random_ops:
        click.echo(line)


if __name__ == "__main__":
    main()
