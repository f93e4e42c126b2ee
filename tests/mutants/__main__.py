# SPDX-License-Identifier: GPL-2.0-or-later
"""``python -m tests.mutants``: how many small mistakes in the lower rooms the tests find (``make mutants``).

What is found is appended to a file, mutant by mutant, so that a run that was ended goes on where it was; the map and
the results belong to the sources and tests of one state, whose digest they carry.  Results of another state are taken
over where that is asked for (``--again``): after new tests, only survivors need be tried.  See docs/mutants.md.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import attrs
import click

from tests.mutants import plan
from tests.mutants.engine import SUITE, Map, Session, Verdict, collect, fresh, in_fork, make_map, parses, quick
from tests.mutants.plan import ROOT, Mutant

PAGE: Final = ROOT / "docs" / "mutants.md"

CONFIDENCE: Final = 0.95


def digest(suite: Sequence[str]) -> str:
    """What names the state of sources and tests that results belong to."""
    paths = [ROOT / "gmemsim", *(ROOT / name for name in suite)]
    files = sorted(file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py")))
    text = hashlib.sha256()
    for file in files:
        text.update(str(file.relative_to(ROOT)).encode())
        text.update(file.read_bytes())
    return text.hexdigest()[:12]


def bound(killed: int, tried: int) -> float:
    """The share that is really killed is at least this, with 95 per cent confidence (Clopper and Pearson)."""
    from scipy.stats import binomtest

    low: float = binomtest(killed, tried, alternative="greater").proportion_ci(CONFIDENCE, method="exact").low
    return low


def change(mutant: Mutant) -> tuple[str, str]:
    """The lines that the mutant replaces and those it puts there, stripped: what names it in docs/mutants.md."""
    text = (ROOT / mutant.module).read_text()
    lines = [*difflib.unified_diff(text.splitlines(), plan.mutate(text, mutant).splitlines(), n=0, lineterm="")][3:]
    return (
        " ".join(line[1:].strip() for line in lines if line.startswith("-")),
        " ".join(line[1:].strip() for line in lines if line.startswith("+")),
    )


def known() -> set[tuple[str, str]]:
    """Survivors that docs/mutants.md lists: the source with the function, and the change."""
    rows = [line.strip("|").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    return {(row[0].strip(" `"), row[1].strip().replace("\\|", "|")) for row in rows}


def row_of(mutant: Mutant) -> tuple[str, str]:
    """The first two cells of the mutant's row there."""
    old, new = change(mutant)
    place = f"{mutant.module.removeprefix('gmemsim/')} {mutant.function}".strip()
    return place, f"`{old}` → `{new}`"


@attrs.define
class Results:
    """What is known so far: verdicts by the key of the mutant, and the file they are appended to."""

    path: Path
    verdicts: dict[str, Verdict] = attrs.field(factory=dict)

    def read(self, paths: Iterable[Path]) -> None:
        """Take in what earlier runs have found; a line that was cut off counts as not there."""
        for line in [line for path in paths for line in path.read_text().splitlines()]:
            try:
                held = json.loads(line)
                key = held.pop("key")
                self.verdicts[key] = Verdict(**held)
            except (ValueError, TypeError, KeyError):
                continue

    def take(self, path: Path) -> None:
        """Take over what another run has found to be killed, but by a law only."""
        other = Results(path)
        other.read([path])
        taken = {key: one for key, one in other.verdicts.items() if one.outcome != "survived" and not one.slow}
        self.verdicts = taken | self.verdicts

    def add(self, mutant: Mutant, verdict: Verdict, stream: TextIO) -> None:
        """Remember one and append it to the file."""
        self.verdicts[mutant.key] = verdict
        stream.write(json.dumps({"key": mutant.key, **attrs.asdict(verdict)}) + "\n")
        stream.flush()


def judge(mutant: Mutant, tests: Map, budget: float, ask: Callable[[Mutant, list[str]], Verdict | None]) -> Verdict:
    """Try the tests on a mutant: in the session that ``ask`` has, and afresh where that shows nothing."""
    names, traced = tests.tests_of(mutant, budget)
    if not names:
        return Verdict("survived")
    verdict = ask(mutant, names) if mutant.function else None
    if verdict is None or verdict.outcome == "survived":
        verdict = fresh(mutant, names, tests.seconds)
    return attrs.evolve(verdict, slow=verdict.outcome == "killed" and verdict.by in names[traced:])


class Asker:
    """A process that has collected the tests, and forks for each mutant that it is asked about."""

    def __init__(self, suite: Sequence[str], seconds: dict[str, float]) -> None:
        theirs, ours = os.pipe(), os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(theirs[1])
            os.close(ours[0])
            try:
                collect(lambda session: _serve(session, seconds, theirs[0], ours[1]), suite)
            finally:
                os._exit(0)
        os.close(theirs[0])
        os.close(ours[1])
        self._questions, self._answers = os.fdopen(theirs[1], "w"), os.fdopen(ours[0])

    def __call__(self, mutant: Mutant, names: list[str]) -> Verdict | None:
        """What the tests of those names say of the mutant; None if it cannot be put into what is loaded."""
        self._questions.write(json.dumps([attrs.asdict(mutant), names]) + "\n")
        self._questions.flush()
        held = json.loads(self._answers.readline())
        return None if held is None else Verdict(**held)

    def close(self) -> None:
        """End the process."""
        self._questions.close()
        self._answers.close()
        os.waitpid(self._pid, 0)


def _serve(session: Session, seconds: dict[str, float], questions: int, answers: int) -> None:
    """Answer questions, a line of JSON each, until there are no more."""
    with os.fdopen(questions) as asked, os.fdopen(answers, "w") as told:
        for line in asked:
            mutant, names = json.loads(line)
            verdict = quick(session, Mutant(**mutant), names, seconds)
            told.write(json.dumps(None if verdict is None else attrs.asdict(verdict)) + "\n")
            told.flush()


def report(chosen: Sequence[Mutant], verdicts: dict[str, Verdict]) -> Iterator[str]:
    """What was found, room by room and in all."""
    done = [mutant for mutant in chosen if mutant.key in verdicts]
    for room in (*plan.ROOMS, "all"):
        mine = [verdicts[mutant.key] for mutant in done if room in (mutant.room, "all")]
        if not mine:
            continue
        counts = Counter(verdict.outcome for verdict in mine)
        killed = counts["killed"] + counts["timeout"]
        yield (
            f"{room + ':':8}{len(mine)} mutants, {killed} killed ({counts['timeout']} by taking too long, "
            f"{sum(verdict.slow for verdict in mine)} by a law only), {counts['survived']} survived: "
            f"{killed / len(mine):.1%}, at least {bound(killed, len(mine)):.1%} with {CONFIDENCE:.0%} confidence"
        )


def _shard(context: click.Context, parameter: click.Parameter, text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9][0-9]*)/([1-9][0-9]*)", text)
    if match is None or int(match[1]) > int(match[2]):
        raise click.BadParameter(f"found {text!r}, expected K/M with K from 1 to M")
    return int(match[1]), int(match[2])


@click.command()
@click.option("--n", default=400, show_default=True, type=click.IntRange(0), help="size of the sample; 0: all mutants")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="decides which are in the sample")
@click.option("--shard", default="1/1", show_default=True, callback=_shard, help="K/M: the K-th of M parts of it")
@click.option("--budget", default=60.0, show_default=True, help="CPU seconds of tests to try on one mutant")
@click.option("--floor", default=97.0, show_default=True, help="per cent that must be killed")
@click.option("--out", default=Path("out/mutants"), show_default=True, type=click.Path(path_type=Path))
@click.option("--source", multiple=True, help="mutate this source only, such as gmemsim/host/slab.py")
@click.option("--operator", multiple=True, help="make only the mistakes of this operator")
@click.option("--suite", multiple=True, help="try only these tests [default: those of the rooms and of whole runs]")
@click.option(
    "--again",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="results of other sources or tests: what was killed there is not tried again",
)
def main(n: int, seed: int, shard: tuple[int, int], floor: float, **options: Any) -> None:
    """Make mutants of the lower rooms and run the tests on them.

    Exit status 1 if fewer are killed than --floor, or one survives that docs/mutants.md does not list.
    """
    operators, suite = options["operator"] or plan.OPERATORS, options["suite"] or SUITE
    texts = {source: (ROOT / source).read_text() for source in options["source"] or plan.sources()}
    every = plan.sample([one for source, text in texts.items() for one in plan.mutants(source, text, operators)], seed)
    chosen = (every[:n] if n else every)[shard[0] - 1 :: shard[1]]
    verdicts = _verdicts(chosen, suite, options["budget"], options["out"], options["again"])
    for line in report(chosen, verdicts):
        click.echo(line)
    sys.exit(_exit_status(chosen, verdicts, floor))


def _verdicts(
    chosen: Sequence[Mutant], suite: Sequence[str], budget: float, out: Path, again: Path | None
) -> dict[str, Verdict]:
    """Judge the chosen mutants, those apart that an earlier run has judged; the verdicts by their keys."""
    out.mkdir(parents=True, exist_ok=True)
    state = digest(suite)
    # The results of each process have a file of their own, and each reads those of all.
    results = Results(out / f"{state}-{os.getpid()}.jsonl")
    results.read(out.glob(f"{state}-*.jsonl"))
    if again is not None:
        results.take(again)
    left = sum(mutant.key not in results.verdicts for mutant in chosen)
    click.echo(f"{len(chosen)} mutants, {left} of them not yet judged; state {state} in {out}")
    map_path = out / f"{state}-map.json"
    if not map_path.exists():
        click.echo("mapping which test executes which line")
        in_fork(lambda: collect(lambda session: make_map(session, map_path), suite))
    if not map_path.exists():
        raise click.ClickException("the tests could not be mapped: do they run?")
    tests = Map.read(map_path)
    click.echo(f"{len(tests.seconds)} tests pass, {sum(tests.seconds.values()):.0f} s of CPU time")
    run(chosen, tests, budget, results, suite)
    return results.verdicts


def run(chosen: Sequence[Mutant], tests: Map, budget: float, results: Results, suite: Sequence[str]) -> None:
    """Judge those mutants that have no verdict yet."""
    left = [mutant for mutant in chosen if mutant.key not in results.verdicts]
    if not left:
        return
    asker = Asker(suite, tests.seconds)
    with results.path.open("a") as stream, click.progressbar(left, label="mutants") as shown:
        for mutant in shown:
            if not parses(plan.mutate((ROOT / mutant.module).read_text(), mutant)):
                verdict = Verdict("killed", "not a program")
            else:
                verdict = judge(mutant, tests, budget, asker)
            results.add(mutant, verdict, stream)
    asker.close()


def _exit_status(chosen: Sequence[Mutant], verdicts: dict[str, Verdict], floor: float) -> int:
    survivors = [mutant for mutant in chosen if mutant.key in verdicts and verdicts[mutant.key].outcome == "survived"]
    listed = known()
    new = [mutant for mutant in survivors if row_of(mutant) not in listed]
    for mutant in new:
        place, what = row_of(mutant)
        click.echo(
            f"survived, and not listed in docs/mutants.md: {mutant.module}:{mutant.line}: | `{place}` | {what} |"
        )
    tried = sum(mutant.key in verdicts for mutant in chosen)
    enough = tried and 100 * (tried - len(survivors)) >= floor * tried
    return 1 if new or not enough else 0


if __name__ == "__main__":
    main()
