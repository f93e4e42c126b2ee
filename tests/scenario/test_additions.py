# SPDX-License-Identifier: GPL-2.0-or-later
"""What is added to a registry works in files and in the schema, without another line anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Annotated, Any, ClassVar

import attrs
import pytest

from gmemsim.errors import InputError
from gmemsim.host.accounts import ACCOUNTS, Account
from gmemsim.scenario import json_schema, parse_scenario
from gmemsim.scenario.format.kinds import Count
from gmemsim.scenario.generators import GENERATORS
from gmemsim.scenario.model import GuestSpec, Step
from gmemsim.scenario.workload import Generator
from gmemsim.sim.run import run


@attrs.frozen(kw_only=True)
class Wave(Generator):
    """Share every n-th page."""

    key: ClassVar[str] = "wave"

    every: Annotated[int, Count("pages from one to the next", least=1)] = 2

    def span(self) -> int:
        return 0

    def problems(self, guest: GuestSpec, page_size: int) -> Iterator[tuple[str, str]]:
        return iter(())

    def steps(self, name: str, guest: GuestSpec, page_size: int, rng: Random, start: int) -> Iterator[Step]:
        for offset in range(0, guest.memory, self.every * page_size):
            yield self.convert(name, start, offset, page_size, "shared")


TEXT = """\
gmemsim: 1
host: {hugetlb: {2M: 1}}
guests: [{name: vm, memory: 2M, backing: 2M}]
workload:
  - wave: {guest: vm, every: 8}
  - parallel: {steps: [wave: {guest: vm}]}
expect: [{metric: conversions.succeeded, eq: 320}]
"""


def test_a_generator_that_is_added_works_in_files_and_in_the_schema() -> None:
    jsonschema: Any = pytest.importorskip("jsonschema")
    GENERATORS.add(Wave.key, Wave)
    try:
        assert run(parse_scenario(TEXT)).ok
        document = {"gmemsim": 1, "guests": [{"name": "vm", "memory": "2M", "backing": "2M"}]}
        document["workload"] = [{"wave": {"guest": "vm"}}, {"parallel": {"steps": [{"wave": {"guest": "vm"}}]}}]
        jsonschema.Draft202012Validator(json_schema()).validate(document)
        with pytest.raises(InputError, match="found the step 'wav', expected a step, did you mean 'wave'"):
            parse_scenario(TEXT.replace("- wave", "- wav"))
    finally:
        GENERATORS.remove(Wave.key)
    with pytest.raises(InputError, match="found the step 'wave', expected a step"):
        parse_scenario(TEXT)


def test_an_account_that_is_added_can_be_injected_into() -> None:
    text = TEXT.replace("wave: {guest: vm, every: 8}", "inject: {account: mine, nth: 1}").partition("  - parallel")[0]
    ACCOUNTS.add("mine", Account("mine", object_bytes=8, colour="#000000", words="a test's"))
    try:
        assert parse_scenario(text).workload
        assert "'mine'" in str(json_schema())
    finally:
        ACCOUNTS.remove("mine")
    with pytest.raises(InputError, match="found 'mine', expected one of filemap_nodes"):
        parse_scenario(text)
