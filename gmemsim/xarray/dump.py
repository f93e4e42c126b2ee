# SPDX-License-Identifier: GPL-2.0-or-later
"""A tree as a whole: its canonical text (format: tests/golden/FORMAT.md), and its nodes counted level by level.

Two implementations are compared by that text, so it never shows what is ours only: Uniforms look like the nodes that
they stand for.  What may live here: readers of the whole tree that need no order of their own; those that look for
entries are in ``find``.  A change of the text is a change of FORMAT.md and of every recorded trace.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, final

from gmemsim.xarray.node import ZERO, Node, NodeLike, Sibling, Uniform

if TYPE_CHECKING:
    from gmemsim.xarray.tree import Tree


def token(entry: object) -> str:
    """``entry`` as a dump writes it: ``0`` NULL, ``n`` node, ``sK`` sibling, ``z`` zero, ``vN`` value, else its str."""
    if entry is None:
        return "0"
    if isinstance(entry, NodeLike):
        return "n"
    if isinstance(entry, Sibling):
        return f"s{entry.slot}"
    if entry is ZERO:
        return "z"
    return f"v{entry}" if isinstance(entry, int) else str(entry)


def dump(tree: Tree) -> str:
    """The whole of ``tree`` in pre-order, one line a node, equal neighbouring slots folded; ends with a newline."""
    marks = "".join(str(tree.marks >> mark & 1) for mark in range(3))
    lines = [f"X {marks} {token(tree.head)}"]
    head = tree.head
    if isinstance(head, NodeLike):
        lines.extend(_node_lines(head, 0, 0, {}))
    return "\n".join(lines) + "\n"


def summary(text: str) -> str:
    """CRC-32 and length in bytes of a dump's ``text``, as the ``hash`` operation prints them."""
    data = text.encode()
    return f"crc={zlib.crc32(data):08x} len={len(data)}"


def _node_lines(node: NodeLike, depth: int, offset: int, bodies: dict[NodeLike, str]) -> Iterator[str]:
    # The text of a Uniform's nodes differs in depth and offset only: written once, used for all.
    body = bodies.get(node)
    if body is None:
        body = _body(node)
        if isinstance(node, Uniform):
            bodies[node] = body
    yield f"N {depth} {node.shift} {offset} {body}"
    for slot, child in enumerate(node.view()):
        if isinstance(child, NodeLike):
            yield from _node_lines(child, depth + 1, slot, bodies)


def _body(node: NodeLike) -> str:
    marks = " ".join(f"{bits:x}" for bits in node.marks)
    return f"{node.count} {node.nr_values} {marks} :{_slots(node)}"


def _slots(node: NodeLike) -> str:
    """The slots in use, runs of the same token as one item."""
    items: list[str] = []
    run, run_start, run_token = 0, 0, ""
    for slot, entry in enumerate((*node.view(), None)):
        text = "" if entry is None else token(entry)
        if run and text == run_token:
            run += 1
            continue
        if run:
            items.append(f" {run_start}:{run_token}" + (f"*{run}" if run > 1 else ""))
        run, run_start, run_token = (1, slot, text) if text else (0, 0, "")
    return "".join(items)


@final
class Levels:
    """What a tree consists of, level by level; see :func:`levels`.

    ``nodes`` are nodes by their shift, ``slots_used`` the slots in use of those nodes, likewise; ``visits`` is the
    number of nodes and levels of Uniforms that were looked at to find out.
    """

    __slots__ = ("nodes", "slots_used", "visits")

    def __init__(self) -> None:
        self.nodes: Counter[int] = Counter()
        self.slots_used: Counter[int] = Counter()
        self.visits = 0

    def add(self, node: NodeLike, copies: int) -> None:
        """Count ``node``, which stands for so many ``copies``, and all below it."""
        self.visits += 1
        self.nodes[node.shift] += copies
        self.slots_used[node.shift] += copies * node.count
        if isinstance(node, Uniform):
            if not node.is_leaf:
                self.add(node.below, copies * node.chunk.size)
        elif node.shift:  # below shift 0 there are entries only
            for child in node.view():
                if isinstance(child, NodeLike):
                    self.add(child, copies)


def levels(tree: Tree) -> Levels:
    """Nodes and slots of ``tree`` in use by level.  Costs what really exists, and one step a level for each Uniform."""
    found = Levels()
    head = tree.head
    if isinstance(head, Node):
        found.add(head, 1)
    return found
