# SPDX-License-Identifier: GPL-2.0-or-later
"""The canonical text of a tree, by which two implementations are compared (format: tests/golden/FORMAT.md)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gmemsim.xarray.node import ZERO, Node, NodeLike, Sibling, Uniform

if TYPE_CHECKING:
    from gmemsim.xarray.tree import Tree


def token(entry: object) -> str:
    """An entry as a dump writes it: ``0`` NULL, ``n`` node, ``sK`` sibling, ``z`` zero, ``vN`` value, else its str."""
    if entry is None:
        return "0"
    if type(entry) is Node or type(entry) is Uniform:
        return "n"
    if type(entry) is Sibling:
        return f"s{entry.slot}"
    if entry is ZERO:
        return "z"
    return f"v{entry}" if isinstance(entry, int) else str(entry)


def dump(tree: Tree) -> str:
    """The whole tree in pre-order, one line a node, equal neighbouring slots folded; ends with a newline."""
    marks = "".join(str(tree.marks >> mark & 1) for mark in range(3))
    lines = [f"X {marks} {token(tree.head)}"]
    head = tree.head
    if type(head) is Node or type(head) is Uniform:
        lines.extend(_node_lines(head, 0, 0, {}))
    return "\n".join(lines) + "\n"


def summary(text: str) -> str:
    """CRC-32 and length of a dump's text, as the ``hash`` operation prints them."""
    data = text.encode()
    return f"crc={zlib.crc32(data):08x} len={len(data)}"


def _node_lines(node: NodeLike, depth: int, offset: int, bodies: dict[NodeLike, str]) -> Iterator[str]:
    # The text of a Uniform's nodes differs in depth and offset only: written once, used for all.
    body = bodies.get(node)
    if body is None:
        body = _body(node)
        if type(node) is Uniform:
            bodies[node] = body
    yield f"N {depth} {node.shift} {offset} {body}"
    for slot, child in enumerate(node.slots):
        if type(child) is Node or type(child) is Uniform:
            yield from _node_lines(child, depth + 1, slot, bodies)


def _body(node: NodeLike) -> str:
    marks = " ".join(f"{bits:x}" for bits in node.marks)
    return f"{node.count} {node.nr_values} {marks} :{_slots(node)}"


def _slots(node: NodeLike) -> str:
    """The slots in use, runs of the same token as one item."""
    items: list[str] = []
    run, run_start, run_token = 0, 0, ""
    for slot, entry in enumerate((*node.slots, None)):
        text = "" if entry is None else token(entry)
        if run and text == run_token:
            run += 1
            continue
        if run:
            items.append(f" {run_start}:{run_token}" + (f"*{run}" if run > 1 else ""))
        run, run_start, run_token = (1, slot, text) if text else (0, 0, "")
    return "".join(items)
