# SPDX-License-Identifier: GPL-2.0-or-later
"""What is offered to someone who types a setting or a metric leads somewhere: all of it is right."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gmemsim.results.metrics import find_metric, parts_after
from gmemsim.scenario.format.settings import Setting, put
from gmemsim.scenario.format.suggest import keys_after, values_of
from gmemsim.scenario.format.yaml import Faults, Node, read_file, read_yaml
from gmemsim.scenario.shipped import scenarios

GUESTS = ("a", "b")


def read(name: str) -> Node:
    node = read_yaml(read_file(name), Faults(name))
    assert node is not None
    return node


def every_key(node: Node, path: list[str]) -> Iterator[str]:
    for word in keys_after(node, path):
        if word.endswith("="):
            yield ".".join([*path, word[:-1]])
        elif len(path) < 6:
            yield from every_key(node, [*path, word[:-1]])


@pytest.mark.parametrize("name", [name for name in scenarios() if name in ("staged", "replay-qemu", "numa")])
def test_every_key_that_is_offered_has_a_place_and_every_value_can_be_put_there(name: str) -> None:
    root = read(name)
    keys = list(every_key(root, []))
    assert len(keys) > 100
    assert {"seed", "policy", "host.costs", "guests.*.policy", "guests.*.policy.when"} <= set(keys)
    for key in keys:
        for value in (*values_of(root, key.split(".")), "1"):
            if key.rpartition(".")[2] != "policy" and value:
                put(root, [Setting(key, value)])


def test_without_a_file_the_schema_alone_is_offered() -> None:
    assert list(keys_after(None, ["guests"])) == ["*."]
    assert "host." in keys_after(None, [])
    assert list(values_of(None, ["guests", "*", "mapping"])) == ["plain", "snp", "tdx"]
    assert list(values_of(None, ["host", "vmemmap_fallback"]))[:2] == ["true", "false"]
    assert list(keys_after(None, ["no", "such"])) == []


def every_metric(path: str) -> Iterator[str]:
    for part, goes_on in parts_after(path, GUESTS):
        whole = f"{path}.{part}" if path else part
        if goes_on:
            yield from every_metric(whole)
        else:
            yield whole


def test_every_metric_that_is_offered_is_one() -> None:
    metrics = list(every_metric(""))
    assert {"filemap_nodes.peak", "splits.1G->4K", "guests.b.folios.2M", "conversions.failed.EAGAIN"} <= set(metrics)
    for metric in metrics:
        find_metric(metric, GUESTS)
    assert list(parts_after("filemap_nodes.peak")) == []
    assert list(parts_after("no.such")) == []
