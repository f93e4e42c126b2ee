# SPDX-License-Identifier: GPL-2.0-or-later
"""What may be typed next in a setting (``guests.vm0.memory=4G``): keys and values, by the file and its JSON Schema.

Theory of operation
-------------------
A path of keys is followed in two trees side by side: the nodes of the file, which know what is there, and the schema,
which knows what may be.  Where the schema has several shapes (a step is one of many), those count that fit what the
file has at the place.

What may live here: what is offered to someone who types.  What is right is the loader's to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import attrs

from gmemsim.scenario.format.jsonschema import json_schema
from gmemsim.scenario.format.settings import EVERY, POLICY
from gmemsim.scenario.format.yaml import ListNode, MapNode, Node, ScalarNode

Json = Mapping[str, Any]


@attrs.frozen
class _Place:
    """A place in a scenario: the ``nodes`` that are there (several below ``*``), and the ``shapes`` that may be."""

    nodes: tuple[Node, ...]
    shapes: tuple[Json, ...]

    def below(self, part: str, root: Json) -> _Place:
        """The place that ``part`` of a path leads to."""
        nodes = tuple(found for node in self.nodes for found in _nodes_below(node, part))
        shapes = [below for shape in self.shapes for below in _shapes_below(shape, part)]
        return _Place(nodes, _fitting(nodes, [flat for shape in shapes for flat in _flat(shape, root)]))


def keys_after(node: Node | None, path: Sequence[str]) -> Iterator[str]:
    """What may follow ``path`` in the file whose root is ``node`` (``None``: not known).

    A key that takes a value ends in ``=``, one that has keys below it in a dot; a value in the file has none below it.
    """
    place, root = _at(node, path)
    for shape in place.shapes:
        if shape.get("type") == "array":
            yield from (f"{name}." for name in _items(place.nodes))
        for key, below in shape.get("properties", {}).items():
            shapes = list(_flat(below, root))
            if any(map(_is_value, shapes)) or key == POLICY:
                yield f"{key}="
            taken = any(isinstance(found, ScalarNode) for node in place.nodes for found in _nodes_below(node, key))
            if not taken and not all(map(_is_value, shapes)):
                yield f"{key}."
    if not path:
        yield f"{POLICY}="


def values_of(node: Node | None, path: Sequence[str]) -> Iterator[str]:
    """Values of the key at ``path`` that are known: by name, the usual one, that of the file below ``node``."""
    place, _ = _at(node, path)
    for shape in place.shapes:
        yield from (str(value) for value in shape.get("enum", ()))
        if shape.get("type") == "boolean":
            yield from ("true", "false")
        if "default" in shape:
            yield str(shape["default"]).lower() if isinstance(shape["default"], bool) else str(shape["default"])
    yield from (found.text for found in place.nodes if isinstance(found, ScalarNode))


@cache
def _schema() -> Json:
    return json_schema()


def _at(node: Node | None, path: Sequence[str]) -> tuple[_Place, Json]:
    root = _schema()
    place = _Place((node,) if node is not None else (), (root,))
    for part in path:
        place = place.below(part, root)
    return place, root


def _nodes_below(node: Node, part: str) -> Iterator[Node]:
    if isinstance(node, MapNode):
        yield from (value for key, _, value in node.entries() if key == part)
    elif isinstance(node, ListNode):
        for number, item in enumerate(node.items):
            if part in (EVERY, str(number), _name(item)):
                yield item


def _shapes_below(shape: Json, part: str) -> Iterator[Json]:
    if "items" in shape:
        yield shape["items"]
    elif part in shape.get("properties", {}):
        yield shape["properties"][part]
    else:
        yield from shape.get("patternProperties", {}).values()


def _flat(shape: Json, root: Json) -> Iterator[Json]:
    """The shapes that ``shape`` stands for, where it is one of several, or refers to another."""
    if "$ref" in shape:
        yield from _flat(root["$defs"][shape["$ref"].rpartition("/")[2]], root)
    elif inner := shape.get("anyOf") or ("properties" not in shape and shape.get("oneOf")):
        kept = {key: shape[key] for key in ("default",) if key in shape}
        for each in inner:
            yield from ({**kept, **flat} for flat in _flat(each, root))
    else:
        yield shape


def _fitting(nodes: Sequence[Node], shapes: Sequence[Json]) -> tuple[Json, ...]:
    """Those of ``shapes`` that have the keys of one of ``nodes``; all of them if there are none such."""
    known = [{key for key, _, _ in node.entries()} for node in nodes if isinstance(node, MapNode)]
    fitting = [shape for shape in shapes if any(keys <= shape.get("properties", {}).keys() for keys in known)]
    return tuple(fitting or shapes)


def _items(nodes: Sequence[Node]) -> Iterator[str]:
    """What items of lists may be called."""
    yield EVERY
    for node in nodes:
        if isinstance(node, ListNode):
            yield from (_name(item) or str(number) for number, item in enumerate(node.items))


def _name(item: Node) -> str | None:
    name = item.get("name") if isinstance(item, MapNode) else None
    return name.text if isinstance(name, ScalarNode) else None


def _is_value(shape: Json) -> bool:
    return shape.get("type") not in ("object", "array")
