# SPDX-License-Identifier: GPL-2.0-or-later
"""Small results to report, in the layout that a run produces."""

from __future__ import annotations

import random
from typing import Any

import attrs

from gmemsim.results.timeline import Event, Timeline

ACCOUNTS = (
    "filemap_nodes",
    "registry_nodes",
    "attributes",
    "folio_metadata",
    "vmemmap",
    "vmemmap_page_tables",
    "stage2_page_tables",
    "memdesc",
)
ORDERS = ("4K", "2M", "1G")
SECOND = 1_000_000_000


@attrs.frozen
class FakeResult:
    timeline: Timeline
    summary: dict[str, Any]
    ok: bool = True


def row(live: int = 0, peak: int = 0, allocated: int = 0, size: int = 576) -> dict[str, int]:
    return {
        "live": live,
        "peak": peak,
        "allocated": allocated,
        "freed": allocated - live,
        "live_bytes": live * size,
        "peak_bytes": peak * size,
    }


def accounts(**used: dict[str, int]) -> dict[str, dict[str, int]]:
    named = {name: used.get(name, row()) for name in ACCOUNTS}
    total = {key: sum(values[key] for values in named.values()) for key in row()}
    return {**named, "total": total}


def guest(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "memory": 2 << 30,
        "backing": 1 << 30,
        "mapping": "snp",
        "policy": {
            "split": {"ladder": [18, 9, 0]},
            "when": "conversion",
            "merge": {"hysteresis": 10},
            "vmemmap": "whole",
            "ordering": "restructure-first",
        },
        "conversions": {"requested": 5, "succeeded": 2, "failed": {"EAGAIN": 1, "ENOMEM": 2}},
        "splits": {"1G->2M": 1, "2M->4K": 3},
        "merges": {},
        "folios": {},
        "accounts": accounts(filemap_nodes=row(1, 74, 80)),
    }


def summary(title: str = "One 4K page shared out of a private 1G folio", **changes: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "title": title,
        "seed": 0,
        "end_time_ns": 2_010_000_000,
        "conversions": {"requested": 3, "succeeded": 2, "failed": {"EAGAIN": 1}},
        "splits": {"1G->4K": 1},
        "merges": {"4K->1G": 1},
        "folios": {"4K": 0, "2M": 0, "1G": 2},
        "accounts": accounts(
            filemap_nodes=row(1, 4162, 4162),
            attributes=row(1, 2, 3, 256),
            vmemmap=row(0, 4095, 4095, 4096),
            vmemmap_page_tables=row(16, 16, 16, 4096),
            stage2_page_tables=row(0, 513, 513, 4096),
        ),
        "modelled_time_ns": {"nodes": 134_000.0, "vmemmap": 2_100_000.0, "total": 2_234_000.0},
        "guests": [guest("vm0")],
        "estimates": {"modelled_time_ns": {"profile": "default", "source": "put together"}},
        "expect": [
            {"metric": "filemap_nodes.peak", "ok": True, "value": 4162, "line": 7},
            {"metric": "filemap_nodes.live", "ok": False, "value": 1, "line": 8},
        ],
        **changes,
    }


def live(
    nodes: int = 0, vmemmap: int = 0, attributes: int = 0, tables: int = 0, stage2: int = 0, metadata: int = 0
) -> list[int]:
    """Bytes by account for so many objects."""
    return [nodes * 576, 0, attributes * 256, metadata * 32, vmemmap * 4096, tables * 4096, stage2 * 4096, 0]


def convert(time_ns: int, step: int, detail: str = "to shared", errno: str | None = None, at: int = 0) -> Event:
    return Event(
        time_ns=time_ns,
        step=step,
        id=None,
        kind="convert",
        guest="vm0",
        offset=at,
        size=4096,
        detail=detail,
        errno=errno,
    )


def headline(scale: int = SECOND, grace: int = 10_000_000) -> FakeResult:
    """One page out and back again; ``scale`` 0 and ``grace`` 0 make a run that takes no time."""
    timeline = Timeline(ACCOUNTS, ORDERS)
    timeline.sample(0, live(), [0, 0, 0])
    timeline.sample(0, live(nodes=1, attributes=1, tables=16), [0, 0, 2])
    timeline.event(Event(time_ns=0, step=0, id=None, kind="allocate", guest="vm0", offset=0, size=2 << 30))
    timeline.sample(scale, live(4163, 4095, 3, 16, 513), [262144, 0, 1])
    timeline.sample(scale, live(4162, 4095, 2, 16, 513), [262144, 0, 1])
    timeline.event(convert(scale, 1))
    timeline.event(convert(scale + scale // 2, 2, "to private", errno="EAGAIN"))
    timeline.sample(2 * scale, live(4162, 4095, 3, 16, 513), [0, 0, 2])
    timeline.sample(2 * scale, live(4162, 0, 1, 16, 0), [0, 0, 2])
    timeline.event(convert(2 * scale, 3, "to private"))
    timeline.sample(2 * scale + grace, live(1, 0, 1, 16, 0), [0, 0, 2])
    timeline.end(2 * scale + grace)
    return FakeResult(timeline, summary())


def idle() -> FakeResult:
    """A run without a single step."""
    timeline = Timeline(ACCOUNTS, ORDERS)
    timeline.sample(0, live(), [0, 0, 0])
    timeline.end(0)
    return FakeResult(timeline, summary("Nothing happens"))


def busy(samples: int, seed: int = 1) -> FakeResult:
    """A random walk with one very narrow spike, of as many samples as wanted (two a step)."""
    rng = random.Random(seed)
    timeline = Timeline(ACCOUNTS, ORDERS)
    shared = 0
    for step in range(samples // 2):
        now = step * 1_000_000
        to_shared = rng.random() < (0.7 if step < samples // 6 else 0.48)
        shared = max(0, shared + (1 if to_shared else -1))
        spike = 3_000_000 if step == samples // 3 else 0
        after = live(shared * 73, shared * 7, shared, 160, shared // 2, shared * 5)
        timeline.sample(
            now,
            live(shared * 73 + 9 + spike, shared * 7, shared + 2, 160, shared // 2),
            [shared * 512, 600, 3],
        )
        timeline.sample(now, after, [shared * 512, max(0, 8192 - shared), 3])
        timeline.event(convert(now, step, "to shared" if to_shared else "to private", at=step * 4096))
    timeline.end(samples // 2 * 1_000_000)
    return FakeResult(timeline, summary(f"A random walk of {samples:,} samples, synthetic, with one narrow spike"))
