# SPDX-License-Identifier: GPL-2.0-or-later
"""A scenario's text, parsed once, of which scenarios with other values are made.

What may live here: the ways from a text and settings to a scenario, and how their faults are told.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from typing import Final

import attrs

from gmemsim.errors import Fault, InputError
from gmemsim.garbage import fewer_collections
from gmemsim.scenario.format.load import read_root, scenario_of
from gmemsim.scenario.format.settings import ALLOW_PYTHON, Setting, put, shown_settings, without
from gmemsim.scenario.format.yaml import Faults, read_file
from gmemsim.scenario.model import Scenario

SEED: Final = "seed"
"""The key that nothing else of a scenario depends on before it runs."""

_PLAIN_SEED: Final = re.compile(r"[0-9]{1,15}", re.ASCII)

EXPECTATIONS: Final = ("expect", "expect_error")
"""The keys of what a scenario expects of its own policies and figures."""


class Template:
    """A scenario's text, ``data``, from which :meth:`scenario` makes variants.

    ``source`` (default: ``<text>``) is the file's name, for messages and for files beside it.  ``expectations``: the
    variants keep what the file expects (default); without, nothing is expected of them.  :class:`InputError` if the
    text cannot be read as YAML; whether it is a sound scenario is known later.
    """

    def __init__(self, data: bytes | str, source: str = "<text>", *, expectations: bool = True) -> None:
        content = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
        self.source = source
        self.sha256 = hashlib.sha256(content).hexdigest()
        """Of the text."""
        self._last: tuple[tuple[Setting, ...], Scenario] | None = None
        """Of the last scenario that was given a seed: the other settings, and what they made."""
        with fewer_collections():
            faults = Faults(source)
            root = read_root(content, faults)
            if len(faults):
                scenario_of(root, faults, allow_python=False)  # tells these together with what else is wrong
            self._root = root if expectations else without(root, EXPECTATIONS)

    def scenario(self, settings: Sequence[Setting] = ()) -> Scenario:
        """The scenario with ``settings`` (default: as the text has it); :class:`InputError` with every fault.

        A fault in a setting has the setting's name for its source.  O(text); O(guests) if the call before it had the
        same settings but another seed.
        """
        others = tuple(setting for setting in settings if setting.key != SEED)
        seeds = [setting.value for setting in settings if setting.key == SEED]
        if not seeds or not _PLAIN_SEED.fullmatch(seeds[-1]):
            return self._read(settings)
        if self._last is None or self._last[0] != others:
            self._last = others, self._read(others)
        return attrs.evolve(self._last[1], seed=int(seeds[-1]), settings=shown_settings(settings))

    def _read(self, settings: Sequence[Setting]) -> Scenario:
        """The scenario with ``settings``, read from nodes."""
        faults = Faults(self.source, [setting.name for setting in settings])
        with fewer_collections():
            scenario = scenario_of(put(self._root, settings), faults, allow_python=_allows(settings))
        return attrs.evolve(scenario, sha256=self.sha256, settings=shown_settings(settings))


def _allows(settings: Sequence[Setting]) -> bool:
    """Whether a setting lets the scenario run Python files."""
    return any(setting.name == ALLOW_PYTHON for setting in settings)


def load_with(path: str | os.PathLike[str], settings: Sequence[Setting]) -> Scenario:
    """The scenario in the file ``path`` with ``settings``; :class:`InputError` with every fault.

    A fault of the file itself that settings may have caused says which there were.
    """
    return parse_with(read_file(path), os.fsdecode(path), settings)


def parse_with(data: bytes | str, source: str, settings: Sequence[Setting]) -> Scenario:
    """:func:`load_with` of the text ``data``, which is called ``source``, with ``settings``."""
    try:
        return Template(data, source).scenario(settings)
    except InputError as error:
        told = ", ".join(shown_settings(settings))
        raise InputError([_told(fault, source, told) for fault in error.faults]) from None


def _told(fault: Fault, source: str, settings: str) -> Fault:
    """``fault``, with the ``settings`` if it is one of the scenario's text."""
    of_text = settings and fault.line and fault.source == Faults(source).source
    return fault._replace(message=f"{fault.message} (with {settings})") if of_text else fault
