# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds a difference between two sides of a trace and makes the trace as short as it goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice, zip_longest

from attrs import evolve, frozen

from tests.oracle import kernel
from tests.oracle.generate import Step, answer
from tests.oracle.kernel import Results
from tests.oracle.rules import Rules, steps
from tests.oracle.watched import WatchedInterpreter

READABLE = 20
"""Lines of a dump that a reader is willing to look through."""


@frozen
class Difference:
    """The first operation of a trace that two sides answer differently."""

    side: str
    """Which of ours differs from the kernel: ``lazy`` or ``eager``."""
    steps: tuple[Step, ...]
    """The operations up to and with that one, with the kernel's answers."""
    ours: Results
    dump_line: tuple[str, str] = ("", "")
    """Where the operation is a ``hash``: the first line that differs in the dump, the kernel's and ours."""

    def text(self) -> str:
        """As a trace: the kernel's results, and as comments under the last operation what differs of ours."""
        lines = []
        for step in self.steps:
            lines += [f"> {step.op}", *(f"< {line}" for line in step.results)]
        theirs = self.steps[-1].results
        for number, (line, its) in enumerate(zip_longest(self.ours, theirs, fillvalue="nothing"), 1):
            if line != its:
                lines.append(f"# ours ({self.side}), result line {number}: {line}")
        if any(self.dump_line):
            lines += [f"# in the dump: {self.dump_line[0]}", f"# where we have: {self.dump_line[1]}"]
        return "\n".join(lines)


def kernel_answers(ops: Sequence[str]) -> list[Results]:
    """The kernel's answer to each operation; a split too deep for it is done by steps and their counts added up."""
    expanded = [steps(op, kernel.abilities()) for op in ops]
    answers = iter(kernel.replay(step for group in expanded for step in group))
    combined: list[Results] = []
    for group in expanded:
        parts = list(islice(answers, len(group)))
        if len(parts) < len(group):
            return [*combined, parts[-1]] if parts else combined
        combined.append(parts[0] if len(group) == 1 else _total(parts))
    return combined


def _total(parts: Sequence[Results]) -> Results:
    """The answer of a deep split from those of its steps: ``ok alloc=… used=… freed=…``, each a sum."""
    totals = {"alloc": 0, "used": 0, "freed": 0}
    for part in parts:
        state, *figures = part[0].split()
        if state != "ok" or len(part) > 1:
            return part
        for figure in figures:
            name, number = figure.split("=")
            totals[name] += int(number)
    return [" ".join(["ok", *(f"{name}={number}" for name, number in totals.items())])]


def eager_answers(ops: Sequence[str]) -> list[Results]:
    """The answers of our eager form."""
    interpreter = WatchedInterpreter(eager=True)
    return [answer(interpreter, op) for op in ops]


def first_difference(trace: Sequence[Step], theirs: Sequence[Results]) -> Difference | None:
    """Compares our two forms with the kernel, ``trace`` being what the lazy one answered."""
    ops = [step.op for step in trace]
    lazy = [step.results for step in trace]
    for side, ours in (("lazy", lazy), ("eager", eager_answers(ops))):
        for position, (mine, its) in enumerate(zip_longest(ours, theirs, fillvalue=["no answer"])):
            if mine != its:
                answers = [*theirs[:position], its]
                return Difference(side, tuple(map(Step, ops, answers)), mine)
    return None


def allowed(ops: Sequence[str]) -> list[Step]:
    """Those of ``ops`` that the rules allow, each on the array as the ones before left it, with our answers."""
    interpreter = WatchedInterpreter(eager=False)
    rules = Rules(kernel.abilities())
    trace = []
    for op in ops:
        if rules.allow(op, interpreter.array):
            trace.append(Step(op, answer(interpreter, op)))
            rules.note(op)
    return trace


def compare(ops: Sequence[str]) -> Difference | None:
    """The first difference in the allowed ones of ``ops``."""
    trace = allowed(ops)
    return first_difference(trace, kernel_answers([step.op for step in trace]))


def shrink(ops: Sequence[str], progress: Callable[[int], None] = lambda length: None) -> Difference | None:
    """A shortest trace, in the sense that no operation can be left out, that still shows a difference.

    Delta debugging (Zeller and Hildebrandt's ddmin, complements only): leave out ever smaller pieces.  ``progress`` is
    told the length whenever it falls.  ``None`` when ``ops`` show no difference at all.
    """
    best = _shortest(ops, progress)
    return _with_dump(best) if best and best.steps[-1].op == "hash" else best


def _with_dump(difference: Difference) -> Difference:
    """Instead of a ``hash`` a ``dump``, which tells more; of one too long to read only the first line that differs."""
    dumped = compare([*(step.op for step in difference.steps[:-1]), "dump"])
    if dumped is None or dumped.steps[-1].op != "dump":
        return difference
    theirs = dumped.steps[-1].results
    if len(theirs) <= READABLE:
        return dumped
    pairs = zip_longest(theirs, dumped.ours, fillvalue="nothing")
    return evolve(difference, dump_line=next(pair for pair in pairs if pair[0] != pair[1]))


def _shortest(ops: Sequence[str], progress: Callable[[int], None]) -> Difference | None:
    best = compare(ops)
    if best is None:
        return None
    size = max(len(best.steps) // 2, 1)
    while True:
        shorter = _without_a_piece(best, size)
        if shorter:
            best = shorter
            progress(len(best.steps))
        elif size == 1:
            return best
        size = min(size if shorter else size // 2, max(len(best.steps) // 2, 1))


def _without_a_piece(difference: Difference, size: int) -> Difference | None:
    """The difference that remains without some ``size`` neighbouring operations, tried from the end, if any does."""
    ops = [step.op for step in difference.steps]
    for start in range((len(ops) - 1) // size * size, -1, -size):
        found = compare(ops[:start] + ops[start + size :])
        if found and len(found.steps) < len(ops):
            return found
    return None
