# SPDX-License-Identifier: GPL-2.0-or-later
"""Values put into a scenario that has been read as nodes: ``guests.vm0.memory=4G``.

Theory of operation
-------------------
A setting is a path of keys and the text that could stand there in the file.  The nodes of the file are never changed:
:func:`put` makes new ones on the way from the root to the place and shares all others, so a file is parsed once however
many variants of it are made, and a value that several guests share by an alias is set for one alone.

What stands in a setting is checked by the loader like any value of the file.  Its nodes have a place that names the
setting (``format.yaml.setting_at``), so a fault is told where it was typed.

What may live here: how keys lead to places.  Which scenarios are made of settings is in ``format.template``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import attrs

from gmemsim.errors import Fault, InputError
from gmemsim.gmem.presets import read_policy
from gmemsim.messages import did_you_mean, quote, shown
from gmemsim.scenario.format.yaml import Faults, ListNode, MapNode, Node, ScalarNode, read_yaml, setting_at

EVERY: Final = "*"
"""In a key: every item of a list."""

POLICY: Final = "policy"
"""The key that stands for the policy of every guest."""

MOST_VALUES: Final = 10_000
"""Values that one value of a key may consist of, aliases followed: far more than a scenario needs in one place."""

ALLOW_PYTHON: Final = "--allow-python"
"""The name of the setting that is no value: the scenario may name Python files whose code is run."""

_GUEST_POLICY: Final = re.compile(r"guests\.[^.]+\.policy")


@attrs.frozen
class Setting:
    """The ``value``, as text, that ``key`` has instead of the file's; ``name`` is what messages call the setting."""

    key: str
    value: str
    name: str = attrs.field(eq=False)

    @name.default
    def _plain(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"{shown(self.key)}={shown(self.value)}"


def read_setting(text: str, option: str) -> Setting:
    """The setting in ``text``, ``KEY=VALUE``, that was given by ``option``; else ``ValueError``.

    >>> read_setting("guests.vm0.memory=4G", "--set")
    Setting(key='guests.vm0.memory', value='4G', name='--set guests.vm0.memory=4G')
    """
    key, assigned, value = text.partition("=")
    if not (key and assigned and value):
        raise ValueError(f"found {quote(text)}, expected KEY=VALUE such as host.kernel_memory=64M")
    return Setting(key, value, f"{option} {shown(text)}")


def shown_settings(settings: Sequence[Setting]) -> tuple[str, ...]:
    """``KEY=VALUE`` of all ``settings`` that put in a value."""
    return tuple(str(setting) for setting in settings if setting.name != ALLOW_PYTHON)


def put(root: Node, settings: Sequence[Setting]) -> Node:
    """``root`` with all ``settings``, one after the other; :class:`InputError` with those that have no place or value.

    O(keys and items on the way), each.
    """
    faults = []
    for number, setting in enumerate(settings):
        if setting.name == ALLOW_PYTHON:
            continue
        at = setting_at(number)
        path = f"guests.{EVERY}.{POLICY}" if setting.key == POLICY else setting.key
        try:
            root = _Put(path.split("."), setting.key, _moved(_value_of(setting), at), at).into(root, 0)
        except ValueError as error:
            faults.append(Fault(setting.name, 0, 0, str(error)))
    if faults:
        raise InputError(faults)
    return root


def without(node: Node, keys: Sequence[str]) -> Node:
    """``node`` without the ``keys`` of all mappings in it, except where they stand in what has none of them."""
    if isinstance(node, ListNode):
        items = tuple(without(item, keys) for item in node.items)
        return node if items == node.items else _list(node.at, items)
    if not isinstance(node, MapNode):
        return node
    kept = [(text, at, without(value, keys)) for text, at, value in node.entries() if text not in keys]
    flat = tuple(part for entry in kept for part in entry)
    return node if flat == node.flat else _map(node.at, flat)


def _value_of(setting: Setting) -> Node:
    """The value of a setting as nodes; a policy may be text as ``--policy`` takes it."""
    text = setting.value
    if (setting.key == POLICY or _GUEST_POLICY.fullmatch(setting.key)) and not text.lstrip().startswith("{"):
        return _node(read_policy(text)[1].as_file())
    faults = Faults("")
    node = read_yaml(text.encode("utf-8", "surrogatepass"), faults)
    if node is None or len(faults) or node.values > MOST_VALUES:
        raise ValueError(f"found {quote(text)}, expected a value as in a scenario file")
    return node


def _node(value: Any) -> Node:
    """``value``, made of dictionaries, lists and scalars, as nodes."""
    if isinstance(value, dict):
        return _map(0, tuple(part for key, item in value.items() for part in (key, 1, _node(item))))
    return _list(0, tuple(map(_node, value))) if isinstance(value, list) else ScalarNode(0, str(value), True)


def _moved(node: Node, at: int) -> Node:
    """``node`` and all below it, with the place ``at``."""
    if isinstance(node, MapNode):
        entries = node.entries()
        flat = tuple(part for key, its, value in entries for part in (key, at << 1 | its & 1, _moved(value, at)))
        return MapNode(at, flat, node.values)
    if isinstance(node, ListNode):
        return ListNode(at, tuple(_moved(item, at) for item in node.items), node.values)
    assert isinstance(node, ScalarNode)
    return ScalarNode(at, node.text, node.plain)


def _list(at: int, items: tuple[Node, ...]) -> ListNode:
    return ListNode(at, items, 1 + sum(item.values for item in items))


def _map(at: int, flat: tuple[Any, ...]) -> MapNode:
    return MapNode(at, flat, 1 + sum(1 + value.values for value in flat[2::3]))


@attrs.frozen
class _Put:
    """Puts the node ``new``, whose place is ``at``, to the end of ``path``; ``key`` is that path for messages."""

    path: list[str]
    key: str
    new: Node
    at: int

    def into(self, node: Node, depth: int) -> Node:
        """``node``, which is ``depth`` parts down the path, with the new value; a missing mapping is made."""
        if depth == len(self.path):
            return self.new
        part = self.path[depth]
        if isinstance(node, MapNode):
            return self._into_map(node, part, depth + 1)
        if not isinstance(node, ListNode):
            raise ValueError(f"found nothing at {quote(self.key)}, expected a key of the scenario")
        if part == EVERY and depth + 1 < len(self.path):
            return _list(node.at, tuple(self.into(item, depth + 1) for item in node.items))
        items = list(node.items)
        number = self._index(items, part)
        items[number] = self.into(items[number], depth + 1)
        return _list(node.at, tuple(items))

    def _into_map(self, node: MapNode, part: str, depth: int) -> Node:
        flat = list(node.flat)
        if part in flat[::3]:
            place = 3 * flat[::3].index(part) + 2
            flat[place] = self.into(flat[place], depth)
        else:
            flat += (part, self.at << 1 | 1, self.into(MapNode(self.at), depth))
        return _map(node.at, tuple(flat))

    def _index(self, items: Sequence[Node], part: str) -> int:
        """Which item ``part`` names, by its ``name`` or by its number."""
        for number, item in enumerate(items):
            name = item.get("name") if isinstance(item, MapNode) else None
            if isinstance(name, ScalarNode) and name.text == part:
                return number
        if part.isascii() and part.isdigit() and len(part) < 9 and int(part) < len(items):
            return int(part)
        expected = f"a name, {EVERY} or a number below {len(items)}"
        names = [item.get("name") for item in items if isinstance(item, MapNode)]
        hint = did_you_mean(part, [name.text for name in names if isinstance(name, ScalarNode)])
        raise ValueError(f"found {quote(part)} in {quote(self.key)}, expected {expected}{hint}")
