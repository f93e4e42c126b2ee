# SPDX-License-Identifier: GPL-2.0-or-later
"""The numbers of many runs in a form that two revisions, or two forms of one, can be compared by.

``python tests/identity.py FILE FOLDER`` writes the numbers of the scenarios of ``FOLDER/scenarios``, and of
tests/data/identity, into FILE, with the gmemsim that is imported.  ``tests/data/before_the_rebuild.json`` was made like
this of revision 6861c5a::

    git archive 6861c5a gmemsim scenarios | tar -x -C FOLDER
    PYTHONPATH=FOLDER python -P tests/identity.py tests/data/before_the_rebuild.json FOLDER

It uses only names that every revision has: ``gmemsim.run`` and ``gmemsim.load_scenario``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gmemsim

ROOT = Path(__file__).resolve().parents[1]


def scenarios(root: Path) -> dict[str, Path]:
    """The scenarios of a revision that lies in ``root``, and those that are only compared, by name."""
    folders = root / "scenarios", ROOT / "tests" / "data" / "identity"
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


SCENARIOS = scenarios(ROOT)
"""Every scenario that is compared, by its name; those of tests/data/identity do what no other does."""

Numbers = dict[str, Any]


def numbers(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a summary by metric: of the ``host``, and of ``guests`` a list each, in the order of ``names``."""
    host = dict(flat({key: value for key, value in summary.items() if key not in ("guests", "provenance", "expect")}))
    guests: Numbers = {}
    each = [dict(flat(guest)) for guest in summary["guests"]]
    for metric in dict.fromkeys(metric for guest in each for metric in guest):
        guests[metric] = [guest.get(metric) for guest in each]
    return {"host": host, "names": [guest["name"] for guest in summary["guests"]], "guests": guests}


def flat(value: Any, path: str = "") -> Iterator[tuple[str, int | float]]:
    """Every number below ``value`` with the path to it."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from flat(below, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from flat(below, f"{path}.{number}")
    elif isinstance(value, int | float):
        yield path, value


def numbers_of(path: Path) -> dict[str, Any]:
    """The numbers of a run of the scenario in the file ``path``."""
    return numbers(gmemsim.run(gmemsim.load_scenario(path)).summary)


def main() -> None:
    """Write the numbers of all scenarios of a revision, one scenario a line."""
    file, folder = map(Path, sys.argv[1:])
    found = {name: numbers_of(path) for name, path in scenarios(folder).items()}
    lines = (f"{json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}" for name, value in found.items())
    file.write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
