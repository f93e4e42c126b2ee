# SPDX-License-Identifier: GPL-2.0-or-later
"""The README says what the commands print, and its example is a scenario that holds."""

from __future__ import annotations

import re

import pytest

from gmemsim.scenario.format.load import parse_scenario
from gmemsim.sim.run import run
from tests.readme import README, ROOT, blocks, output_of

TEXT = README.read_text(encoding="utf-8")
KERNEL_FILES = {"lib/xarray.c"}


@pytest.mark.parametrize(("arguments", "recorded"), blocks(TEXT))
def test_a_console_block_is_what_the_command_prints(arguments: str, recorded: str) -> None:
    assert recorded == output_of(arguments), "`python -m tests.readme` writes today's output into the README"


def test_the_scenario_explained_line_by_line_holds() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert run(parse_scenario(text, source="README.md"), check=True).ok


def test_the_python_example_runs() -> None:
    (text,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(text, "README.md", "exec"), {})


def test_what_the_text_names_exists() -> None:
    paths = {path for path in re.findall(r"[`(]([a-z][\w./-]*/[\w./-]*)[`)]", TEXT) if not path.startswith("out/")}
    assert {"gmemsim/cli/", "scenarios/rfc-cover.yaml", "scenarios/is-it-necessary.png"} <= paths
    missing = [path for path in paths if not any((base / path).exists() for base in (ROOT, ROOT / "gmemsim"))]
    missing = [path for path in missing if path not in KERNEL_FILES]
    assert not missing, f"README.md names what is not there: {missing}"
