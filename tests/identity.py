# SPDX-License-Identifier: GPL-2.0-or-later
"""The numbers of many runs in a form that two revisions, or two forms of one, can be compared by.

``python tests/identity.py FILE`` writes the numbers of all :data:`SCENARIOS` into FILE, with the gmemsim that is
imported.  ``tests/data/before_the_rebuild.json`` was made like this of revision 6861c5a::

    git archive 6861c5a gmemsim | tar -x -C FOLDER
    PYTHONPATH=FOLDER python tests/identity.py tests/data/before_the_rebuild.json

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
SCENARIOS = {
    path.stem: path
    for folder in (ROOT / "scenarios", ROOT / "tests" / "data" / "identity")
    for path in sorted(folder.glob("*.yaml"))
}
"""Every scenario that is compared, by its name; those of tests/data/identity do what no other does."""

Numbers = dict[str, Any]


def numbers(summary: Mapping[str, Any]) -> dict[str, Numbers]:
    """The numbers of a summary by metric: of the ``host``, and of all ``guests`` a list in their order."""
    host = dict(flat({key: value for key, value in summary.items() if key not in ("guests", "provenance")}))
    guests: Numbers = {}
    each = [dict(flat(guest)) for guest in summary["guests"]]
    for metric in dict.fromkeys(metric for guest in each for metric in guest):
        guests[metric] = [guest.get(metric) for guest in each]
    return {"host": host, "guests": guests}


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


def numbers_of(name: str) -> dict[str, Numbers]:
    """The numbers of a run of the scenario ``name``."""
    return numbers(gmemsim.run(gmemsim.load_scenario(SCENARIOS[name])).summary)


def main() -> None:
    """Write the numbers of all scenarios, one scenario a line."""
    lines = (f"{json.dumps(name)}: {json.dumps(numbers_of(name), separators=(',', ':'))}" for name in SCENARIOS)
    Path(sys.argv[1]).write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
