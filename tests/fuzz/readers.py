# SPDX-License-Identifier: GPL-2.0-or-later
"""Fuzz targets for every reader: ``python -m tests.fuzz.readers --time 60``, or ``make fuzz TIME=10m``.

Theory of operation
-------------------
A target is a function that gives one input to a reader as a user would.  It returns when the reader has taken the
input, and raises one of our errors when the reader has refused it.  Everything else is a crash:

- any other exception;
- more memory than :data:`MEMORY_RATIO` bytes for a byte of input, :data:`MEMORY_FLOOR` left aside (200 MB for 1 MB);
  looked at for one input in :data:`MEASURED`, which is made long for it, since looking makes all slower;
- more CPU time than :data:`SECONDS`.

Inputs are mutants of the corpus: ``corpus/TARGET`` and files that the repository has anyway.  Words are replaced by
words of the other files or by numbers and signs that tend to be wrong, repeated, cut; bytes are put anywhere.  All of
it is drawn from a seed.  A crash is shortened and written into a file, whose path is printed.

There is no coverage feedback: the readers are pure Python, where structure-aware mutants of small files reach the
branches quickly, and an instrumented run is some times slower.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import tempfile
import time
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import chdir
from pathlib import Path
from random import Random
from typing import Final

import attrs

from gmemsim.cli.tracefile import Machine, read_lines
from gmemsim.errors import InputError
from gmemsim.gmem.presets import read_policy
from gmemsim.scenario.format.load import parse_scenario
from gmemsim.scenario.format.settings import read_setting
from gmemsim.scenario.format.template import parse_with
from gmemsim.scenario.generators import Replay
from gmemsim.scenario.model import GuestSpec
from gmemsim.studies.sweep import read_variation

ROOT: Final = Path(__file__).resolve().parents[2]
CORPUS: Final = Path(__file__).resolve().parent / "corpus"

MEMORY_RATIO: Final = 200
MEMORY_FLOOR: Final = 32 << 20
"""Bytes that reading may take whatever the input: modules, caches, the longest line."""

MEASURED: Final = 100
"""One input in so many is made long, and its memory looked at."""

LONG: Final = 1 << 18
"""Bytes of a long input."""

SECONDS: Final = 60.0
"""CPU time that an input may take: generous, the longest are a megabyte."""

BATCH: Final = 25
"""Inputs of one target before it is the next one's turn."""

MOST_TRIALS: Final = 200
"""Trials that shortening a crash may take."""

GIB: Final = 1 << 30

NASTY: Final = (
    *(b"0", b"-1", b"010", b"1e9", b"9" * 30, b"9" * 5000, b".inf", b".nan", b"18446744073709551616", b"0xffff"),
    *(b"{", b"}", b"[", b"]", b":", b",", b"-", b"&a", b"*a", b"<<: *a", b"!!int ", b"---\n", b"%YAML 1.1\n", b"'"),
    *(b"\n", b"\r", b"\r\n", b"\t", b"\0", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\x1b[2J", b"\xe2\x80\xae", b"="),
    *(b"4K", b"-4K", b"0.5K", b"99999999P", b"10ms", b"1min", b"all", b"true", b"null", b"~", b"..", b"@", b"*", b";"),
)
"""Words that tend to go wrong."""

WORD: Final = re.compile(rb"[A-Za-z_]+|\d+|\s+|.", re.DOTALL)

Target = Callable[[bytes], None]


def scenario(data: bytes) -> None:
    """A scenario file."""
    parse_scenario(data, source="fuzz.yaml")


def log(format: str) -> Target:
    """A recorded log of ``format``, as ``gmemsim import`` reads it."""
    guest = GuestSpec(name="vm0", memory=16 * GIB, backing=GIB)
    numbers = iter(range(sys.maxsize))

    def read(data: bytes) -> None:
        path = Path(f"{format}-{next(numbers)}.log")  # a new name: what has been read is remembered
        path.write_bytes(data)
        try:
            replay = Replay(guest="vm0", file=str(path), format=format)
            if problems := list(replay.problems(guest, 4096)):
                raise ValueError(problems[0])
            for line in (*replay.warnings(guest, 4096), *replay.remarks(guest, 4096)):
                assert line.isprintable(), f"a remark that is not text: {line!a}"
        finally:
            path.unlink()

    return read


def xarray(data: bytes) -> None:
    """A trace of XArray operations, as ``gmemsim xarray replay`` reads it."""
    path = Path("trace.txt")
    path.write_bytes(data)
    machine = Machine(eager=False)
    for line in read_lines(str(path)):
        if line.kind == ">":
            machine.execute(line)


def policy(data: bytes) -> None:
    """The text of ``--policy``."""
    read_policy(_argument(data))


def vary(data: bytes) -> None:
    """The text of ``--vary``, and of ``--set``, put into a scenario; refused if both refuse it."""
    text = _argument(data)
    refused: list[Exception] = []
    for values in (_varied, _set):
        try:
            for setting in values(text):
                parse_with(SIMPLE, "fuzz.yaml", (read_setting(setting, "--set"),))
        except (InputError, ValueError) as error:
            check_refusal(error)
            refused.append(error)
    if len(refused) == 2:
        raise refused[0]


def _varied(text: str) -> Iterable[str]:
    variation = read_variation(text)
    return [f"{variation.key}={value}" for value in variation.values[:3]]


def _set(text: str) -> Iterable[str]:
    return [text]


def _argument(data: bytes) -> str:
    """As Python has arguments of the command line: no zero byte, and what is not UTF-8 as surrogates."""
    return data.replace(b"\0", b"").decode("utf-8", "surrogateescape")


SIMPLE: Final = (CORPUS / "scenario" / "simple.yaml").read_bytes()

TARGETS: Final[dict[str, tuple[Target, tuple[str, ...]]]] = {
    "scenario": (scenario, ("scenarios/*.yaml", "scenarios/questions/*.yaml")),
    "qemu": (log("qemu"), ()),
    "bpftrace": (log("bpftrace"), ()),
    "xarray": (xarray, ("tests/golden/d*.txt",)),
    "policy": (policy, ()),
    "vary": (vary, ()),
}
"""The targets by name: the function, and the files that are in its corpus beside those in ``corpus/NAME``."""

LONGEST_SEED: Final = 1 << 14
"""Bytes of a file of the corpus that is used; longer ones make slow inputs and no other branches."""


@attrs.frozen
class Crash:
    """What is wrong with an input: ``kind`` (type and place), and the whole ``story``."""

    kind: str
    story: str


def corpus(name: str) -> list[bytes]:
    """The inputs to start from."""
    paths = [*sorted((CORPUS / name).iterdir())]
    for pattern in TARGETS[name][1]:
        paths += sorted(ROOT.glob(pattern))
    return [data for data in (path.read_bytes() for path in paths) if len(data) <= LONGEST_SEED]


def check_refusal(error: Exception) -> None:
    """``AssertionError`` unless the refusal is a line that may be printed."""
    lines = [str(fault) for fault in error.faults] if isinstance(error, InputError) else [str(error)]
    assert lines, "a refusal that says nothing"
    for line in lines:
        assert len(line) < 2000, f"a refusal of {len(line)} characters"


def attempt(target: Target, data: bytes, *, measured: bool = False) -> tuple[bool, Crash | None]:
    """Whether the reader takes ``data``, and the crash if there is one."""
    began = time.process_time()
    taken = False
    if measured:
        tracemalloc.start()
    try:
        target(data)
        taken = True
    except (InputError, ValueError) as error:
        if not isinstance(error, InputError) and type(error) is not ValueError:  # UnicodeError and others
            return False, _crash(error)
        try:
            check_refusal(error)
        except AssertionError as wrong:
            return False, _crash(wrong)
    except Exception as error:
        return False, _crash(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1] if measured else 0
        if measured:
            tracemalloc.stop()
    if peak > MEMORY_FLOOR + MEMORY_RATIO * len(data):
        return taken, Crash("memory", f"{peak:,} bytes of memory for {len(data):,} bytes of input")
    spent = time.process_time() - began
    if spent > SECONDS:
        return taken, Crash("time", f"{spent:.0f} s of CPU time for {len(data):,} bytes of input")
    return taken, None


def _crash(error: Exception) -> Crash:
    last = traceback.extract_tb(error.__traceback__)[-1]
    kind = f"{type(error).__name__} in {Path(last.filename).name}:{last.name}"
    return Crash(kind, "".join(traceback.format_exception(error)))


def mutant(rng: Random, seeds: list[bytes]) -> bytes:
    """One of ``seeds`` with a few of its words changed."""
    words = WORD.findall(rng.choice(seeds))
    others = WORD.findall(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at = rng.randrange(len(words) + 1)
        match rng.randrange(8):
            case 0:
                words[at : at + 1] = [rng.choice(NASTY)]
            case 1:
                words.insert(at, rng.choice(NASTY))
            case 2:
                words[at : at + 1] = [rng.choice(others)] if others else []
            case 3:
                del words[at : at + rng.randint(1, 12)]
            case 4:
                words[at:at] = words[at : at + rng.randint(1, 30)] * rng.choice((1, 1, 2, 50))
            case 5:
                from_there = rng.randrange(len(others) + 1)
                words[at:at] = others[from_there : from_there + rng.randint(1, 40)]
            case 6:
                words[at:] = words[at : at + rng.randint(0, 40)]
            case _:
                words.insert(at, rng.randbytes(rng.randint(1, 8)))
    return b"".join(words)


def long(rng: Random, data: bytes) -> bytes:
    """An input of about :data:`LONG` bytes: a part of ``data`` again and again."""
    start = rng.randrange(len(data) + 1)
    part = data[start : start + rng.choice((1, 3, 40, 4000))] or b"a"
    return data[:start] + part * ((LONG - len(data)) // len(part) if len(data) < LONG else 0) + data[start:]


def shortened(target: Target, data: bytes, crash: Crash) -> bytes:
    """As little of ``data`` as crashes in the same way; memory and time are left as they are."""
    if crash.kind in ("memory", "time"):
        return data
    size, trials = max(1, len(data) // 2), 0
    while size and trials < MOST_TRIALS:
        place = 0
        while place < len(data) and trials < MOST_TRIALS:
            candidate, trials = data[:place] + data[place + size :], trials + 1
            found = attempt(target, candidate)[1]
            if found is not None and found.kind == crash.kind:
                data = candidate
            else:
                place += size
        size //= 2
    return data


@attrs.define
class Tally:
    """What became of the inputs of one target."""

    inputs: int = 0
    taken: int = 0
    measured: int = 0
    crashes: Counter[str] = attrs.field(factory=Counter)


def hunt(names: Iterable[str], seed: int, enough: Callable[[dict[str, Tally]], bool], out: Path) -> dict[str, Tally]:
    """Give mutants to the targets in turn until ``enough`` says so; crashes are written into ``out``, one of a kind."""
    tallies = {name: Tally() for name in names}
    seeds = {name: corpus(name) for name in tallies}
    randoms = {name: Random(f"{seed}/{name}") for name in tallies}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        while not enough(tallies):
            for name, tally in tallies.items():
                for _ in range(BATCH):
                    _one(name, randoms[name], seeds[name], tally, out)
    return tallies


def _one(name: str, rng: Random, seeds: list[bytes], tally: Tally, out: Path) -> None:
    target = TARGETS[name][0]
    data = mutant(rng, seeds)
    measured = tally.inputs % MEASURED == MEASURED - 1
    if measured:
        data = long(rng, data)
    taken, crash = attempt(target, data, measured=measured)
    tally.inputs += 1
    tally.taken += taken
    tally.measured += measured
    if crash is None:
        return
    tally.crashes[crash.kind] += 1
    if tally.crashes[crash.kind] == 1:
        data = shortened(target, data, crash)
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
        path.write_bytes(data)
        _say(f"CRASH {name}: {crash.kind}\n{crash.story}input: {path}")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command


def seconds(text: str) -> float:
    """``30``, ``30s`` and ``10m``."""
    found = re.fullmatch(r"(\d+)(s|m|min|h)?", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a time such as 30s or 10m")
    return float(found[1]) * {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}[found[2]]


def main() -> int:
    """The command; 1 if something crashed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.readers", description="Fuzz every reader.")
    parser.add_argument("--time", type=seconds, default=60.0, help="how long (default: 60s)")
    parser.add_argument("--seed", type=int, default=0, help="which mutants (default: 0)")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="only this one; repeat it")
    parser.add_argument("--out", type=Path, default=Path("out/crashes"), help="folder for inputs that crash")
    parser.add_argument("inputs", type=Path, nargs="*", help="give these files to the one --target instead")
    given = parser.parse_args()
    names = given.target or list(TARGETS)
    if given.inputs:
        return _again(names[0], [path.resolve() for path in given.inputs])
    deadline = time.monotonic() + given.time
    tallies = hunt(names, given.seed, lambda _: time.monotonic() > deadline, given.out.resolve())
    _say(f"{'reader':<10}{'inputs':>10}{'taken':>10}{'refused':>10}{'measured':>10}{'crashes':>10}")
    for name, tally in tallies.items():
        crashes = tally.crashes.total()
        refused = tally.inputs - tally.taken - crashes
        _say(f"{name:<10}{tally.inputs:>10,}{tally.taken:>10,}{refused:>10,}{tally.measured:>10,}{crashes:>10,}")
    return int(any(tally.crashes for tally in tallies.values()))


def _again(name: str, paths: list[Path]) -> int:
    worst = 0
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for path in paths:
            taken, crash = attempt(TARGETS[name][0], path.read_bytes(), measured=True)
            _say(f"{path}: {crash.story if crash else 'taken' if taken else 'refused'}")
            worst |= crash is not None
    return worst


if __name__ == "__main__":
    sys.exit(main())
