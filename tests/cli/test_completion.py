# SPDX-License-Identifier: GPL-2.0-or-later
"""What the shell offers, and that bash does with it what a user wants: TAB is pressed in a bash on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from gmemsim.cli.main import gmemsim
from gmemsim.gmem.presets import PRESETS
from gmemsim.host.costs import PROFILES

ROOT = str(Path(__file__).parents[2])
BASH = shutil.which("bash")
PATIENCE = 60
"""Seconds after which bash is taken not to answer, on a machine however loaded."""


def offered(line: str) -> list[str]:
    """What is offered for the last word of ``line``; a dot at the end stands for a word that must go on."""
    *words, begun = line.split(" ")
    found = ShellComplete(gmemsim, {}, "gmemsim", "_GMEMSIM_COMPLETE").get_completions(words[1:], begun)
    return [item.value for item in found if item.type == "plain"]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("gmemsim com", ["compare"]),
        ("gmemsim run rfc-", ["rfc-cover"]),
        ("gmemsim examples rfc-", ["rfc-cover"]),
        ("gmemsim run x --figure o", ["orders", "occupancy"]),
        ("gmemsim run x --format per", ["perfetto"]),
        ("gmemsim compare x --policy staged-", ["staged-reoptimize", "staged-partial"]),
        ("gmemsim explain split --policy no", ["nonuniform", "nonuniform-partial", "no-hvo"]),
        ("gmemsim compare x --policy a=b-", ["a=b-today"]),
        ("gmemsim compare x --policy a=split:staged,vme", ["a=split:staged,vmemmap:"]),
        ("gmemsim compare x --policy a=vmemmap:p", ["a=vmemmap:partial"]),
        ("gmemsim compare x --costs mi", ["misono-snp-2024", "misono-tdx-2024"]),
        ("gmemsim costs roth", ["roth-snp-2025"]),
        ("gmemsim run x --price rmp", ["rmp_updates="]),
        ("gmemsim faults x --ordering b", ["block-abort"]),
        ("gmemsim run staged --set ho", ["host."]),
        ("gmemsim run staged --set host.mem", ["host.memdesc="]),
        ("gmemsim run staged --set host.prices.rmp", ["host.prices.rmp_updates="]),
        ("gmemsim run staged --set host.page_size=", [f"host.page_size={size}" for size in ("4K", "16K", "64K")]),
        ("gmemsim run staged --set guests.", ["guests.*.", "guests.whole.", "guests.partial."]),
        ("gmemsim run staged --set guests.whole.pol", ["guests.whole.policy=", "guests.whole.policy."]),
        ("gmemsim run staged --set guests.*.policy.merge=ea", ["guests.*.policy.merge=eager"]),
        ("gmemsim run staged --set policy=never", ["policy=never"]),
        ("gmemsim run rfc-cover --set workload.1.", ["workload.1.convert."]),
        ("gmemsim run rfc-cover --set workload.1.convert.s", ["workload.1.convert.size="]),
        ("gmemsim run rfc-cover --set workload.1.convert.size=", ["workload.1.convert.size=4K"]),
        ("gmemsim sweep staged --vary policy=b-today,never", ["policy=b-today,never"]),
        ("gmemsim sweep staged --vary host.xarray=rfc,v", ["host.xarray=rfc,v6.15"]),
        ("gmemsim sweep staged --vary seed=0..3 --mean ", ["seed"]),
        ("gmemsim sweep staged --metric vmemmap.pe", ["vmemmap.peak", "vmemmap.peak_bytes"]),
        ("gmemsim compare staged --metric guests.wh", ["guests.whole."]),
        (
            "gmemsim compare staged --metric guests.whole.folios.",
            [f"guests.whole.folios.{s}" for s in ("1G", "2M", "4K")],
        ),
        ("gmemsim compare staged --metric conversions.failed.EA", ["conversions.failed.EAGAIN"]),
        ("gmemsim tune staged --minimize peak", ["peak_bytes"]),
        ("gmemsim tune staged --subject-to peak", ["peak_bytes<="]),
        ("gmemsim budget host-near-limit --for-each ", ["vm"]),
        ("gmemsim xarray show host-near-limit --guest vm-", ["vm-0", "vm-1", "vm-2", "vm-3"]),
        ("gmemsim run no-such-file --set guests.v", []),
        ("gmemsim xarray show no-such-file --guest ", []),
        ("gmemsim run - --set guests.v", []),
    ],
)
def test_what_has_been_typed_is_completed(line: str, wanted: list[str]) -> None:
    assert offered(line) == wanted


def test_every_policy_and_every_profile_is_offered() -> None:
    assert offered("gmemsim reserve --policy ") == list(PRESETS)
    assert offered("gmemsim costs ") == list(PROFILES)
    assert offered("gmemsim compare x --costs ") == [*PROFILES, "all"]


def test_a_policy_in_python_is_not_run_by_the_shell(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (tmp_path / "own.yaml").write_text(
        "gmemsim: 1\nhost: {hugetlb: {1G: 1}}\nworkload: []\n"
        "guests: [{name: vm0, memory: 1G, backing: 1G, policy: {python: own.py, class: P}}]\n"
    )
    assert offered(f"gmemsim run {tmp_path}/own.yaml --set guests.v") == ["guests.vm0."]
    assert offered(f"gmemsim xarray show {tmp_path}/own.yaml --allow-python --guest ") == []
    assert not (tmp_path / "ran").exists()


class Terminal:
    """A bash on a terminal of its own, in which ``gmemsim`` is completed."""

    def __init__(self, folder: Path) -> None:
        command = folder / "gmemsim"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gmemsim "$@"\n')
        command.chmod(0o755)
        (folder / "my scenario.yaml").touch()
        self._terminal, child = pty.openpty()
        assert BASH is not None
        self._bash = subprocess.Popen(
            [BASH, "--norc", "--noprofile", "-i"],
            stdin=child,
            stdout=child,
            stderr=child,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": ROOT, "PATH": f"{folder}:{os.environ['PATH']}", "TERM": "dumb", "PS1": ""},
            start_new_session=True,
        )
        os.close(child)
        self._read = b""
        self._say("bind 'set enable-bracketed-paste off'; words() { printf 'are:'; printf '<%s>' \"$@\"; echo; }")
        self._say('eval "$(_GMEMSIM_COMPLETE=bash_source gmemsim)"; words begun')
        assert self._answer() == ["begun"]

    def completed(self, line: str) -> list[str]:
        """The words of ``line`` after TAB has been pressed and END typed."""
        self._say(f"{line}\tEND\x01words ")
        return self._answer()

    def _say(self, text: str) -> None:
        os.write(self._terminal, f"{text}\n".encode())

    def _answer(self) -> list[str]:
        end = time.monotonic() + PATIENCE
        while (found := re.search(rb"are:<(.*)>\r\n", self._read)) is None:
            ready, _, _ = select.select([self._terminal], [], [], max(0, end - time.monotonic()))
            assert ready, self._read
            self._read += os.read(self._terminal, 65536)
        self._read = self._read[found.end() :]
        return found[1].decode().split("><")

    def close(self) -> None:
        self._bash.kill()
        self._bash.wait()
        os.close(self._terminal)


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    if BASH is None:
        pytest.skip("there is no bash")
    terminal = Terminal(tmp_path_factory.mktemp("bash"))
    yield terminal
    terminal.close()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("gmemsim run rfc-cov", ["run", "rfc-cover", "END"]),
        ("gmemsim run my", ["run", "my scenario.yaml", "END"]),
        ("gmemsim compare rfc-cover --policy=staged-p", ["compare", "rfc-cover", "--policy=staged-partial", "END"]),
        ("gmemsim reserve --policy a=vmemmap:p", ["reserve", "--policy", "a=vmemmap:partial", "END"]),
        ("gmemsim run staged --set host.mem", ["run", "staged", "--set", "host.memdesc=END"]),
        ("gmemsim run staged --set host.costs=ka", ["run", "staged", "--set", "host.costs=kalyazin-2024", "END"]),
        ("gmemsim sweep staged --vary policy=staged,nev", ["sweep", "staged", "--vary", "policy=staged,never", "END"]),
        ("gmemsim sweep staged --metric 'splits.1G->4", ["sweep", "staged", "--metric", "splits.1G->4K", "END"]),
        ("gmemsim xarray show staged --guest par", ["xarray", "show", "staged", "--guest", "partial", "END"]),
        ("gmemsim run nothing-begins-so", ["run", "nothing-begins-soEND"]),
    ],
)
def test_bash_completes_what_is_typed(typed: str, words: list[str], terminal: Terminal) -> None:
    assert terminal.completed(typed) == ["gmemsim", *words]
