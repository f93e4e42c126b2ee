# SPDX-License-Identifier: GPL-2.0-or-later
"""``boot``: a synthetic confidential Linux guest that boots: which pages it shares, where and when.

Theory of operation
-------------------
No trace of a real boot is public, so this is a model of what is known to be shared (DOMAIN.md section 6), and
every figure that is not known is a parameter whose default says so.  The boot has five parts, in fractions of
``duration``, which is itself an assumption:

=========  ===========  ==================================================================================
part       time         what is shared
=========  ===========  ==================================================================================
firmware   0.00 - 0.20  ``firmware_pages`` single pages, all private again when the kernel takes over; one
                        contiguous run, since EDK2 hands out pages from the top down
kernel     0.20         the bounce buffer (module ``swiotlb``); kvmclock, 64 bytes a vCPU
vCPUs      0.20 - 0.40  one GHCB page each (SNP guests), as the CPUs are brought up
virtio     0.40 - 0.60  the rings of each queue, ``ring_size`` contiguous bytes; buffers go through the bounce
                        buffer and convert nothing
drivers    0.40 - 1.00  ``dma_count`` allocations at run time, Poisson arrivals, lifetimes exponential with mean
                        ``dma_lifetime``; what would outlive the boot stays shared
=========  ===========  ==================================================================================

Where each lies is ``placement``'s: ``clustered`` by the rules of a Linux guest (default), or ``uniform``, anywhere
beside the bounce buffer and the firmware's pages.  They never overlap.

Calibration
-----------
Roth reports 622 hugepages split and about 30 merged again for a 16 GB SNP guest on 2M (12 Jul 2025; DOMAIN.md section
6), and no inventory.  Ours, for the defaults and 16G on 2M, is

======================  ====  ==============================================================================
bounce buffer            492  6 % of 16 GiB is 983 MiB, shared as one block
GHCBs                     16  one a vCPU; 16 vCPUs are **assumed**
rings                     49  network both ways and a disk queue a vCPU, and one for control
kvmclock, firmware         2  one hugepage each
drivers at run time       64  **assumed**; with a mean lifetime of 4 s (**assumed**) some 31 of them end within 6 s
======================  ====  ==============================================================================

in sum 623, and 31 + 1 merges.  Three assumptions were chosen to meet two published numbers: the agreement is a fit and
confirms nothing.  What the same parameters say of other guests is a prediction, and so is all that is said of 1G: by
the rules of placement a guest of 16G has shared pages in 4 of its 16 hugepages (kernel image; bounce buffer and
firmware; start of zone Normal; GHCBs at the top), up to some 500 buffers, and a larger guest in no more.
``scenarios/boot-sensitivity.yaml`` shows how much each parameter matters: vCPUs and buffers do; memory does not once
the bounce buffer has reached its 1 GiB (at 17 GiB), as Roth remarks.

What is missing
---------------
This guest shares 984 MiB of its 16 GiB, 6.0 %, nearly all of it the bounce buffer.  A measured SNP guest of 16 GiB
with VFIO had 1,239,476 kB shared, 7.4 % (DOMAIN.md section 10): some 226 MiB more.  The model has no passed-through
devices, whose drivers' coherent memory is shared and not bounced, no growth of the bounce buffer (dynamic swiotlb), and
no pages that the firmware leaves shared.  The source does not say how the rest divides, so none of them is given a
figure here; ``dma_count`` and ``dma_size`` describe such drivers where they are known.

The boot yields conversions, and host faults of what has been shared; other memory comes from an ``allocate`` step.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Annotated, ClassVar, Final, get_args

import attrs

from gmemsim.scenario.demand import arrivals, lives, scattered, split_rng
from gmemsim.scenario.format.kinds import Choice, Count, Duration, Size
from gmemsim.scenario.generators.placement import Demands, Placement, place
from gmemsim.scenario.generators.swiotlb import (
    LARGEST,
    PERCENT,
    SMALLEST,
    Block,
    describe_misfit,
    place_block,
)
from gmemsim.scenario.model import GuestSpec, Step
from gmemsim.scenario.workload import Sharing, in_order
from gmemsim.units import size_name

KVMCLOCK_BYTES: Final = 64
"""A vCPU's clock structure, padded to a cache line (Linux, ``struct pvclock_vsyscall_time_info``)."""

MOST_VCPUS: Final = 4096
"""KVM's largest number of vCPUs on x86 (``CONFIG_KVM_MAX_NR_VCPUS`` reaches 4096)."""

MOST_BUFFERS: Final = 1_000_000
"""The largest count of any sort of buffer; a boot shares hundreds."""

_TENTHS: Final = 10
_KERNEL, _VIRTIO, _RUNNING = 2, 4, 6
"""Tenths of the duration when the firmware is done, the CPUs are up, the queues are set up: assumptions."""


@attrs.frozen(kw_only=True)
class Boot(Sharing):
    """A guest boots within ``duration``; see the module for what that means."""

    key: ClassVar[str] = "boot"

    duration: Annotated[int, Duration("from power-on to the end of what is modelled (10s: assumed)")] = 10_000_000_000
    vcpus: Annotated[int, Count("virtual CPUs (16: assumed)", least=1, most=MOST_VCPUS)] = 16
    swiotlb_percent: Annotated[int, Count("bounce buffer in per cent of memory", most=100)] = PERCENT
    swiotlb_min: Annotated[int, Size("bounce buffer at least", aligned=True, zero=True)] = SMALLEST
    swiotlb_max: Annotated[int, Size("bounce buffer at most; 0 for none", aligned=True, zero=True)] = LARGEST
    firmware_pages: Annotated[
        int, Count("pages that the firmware shares and takes back (32: assumed)", most=MOST_BUFFERS)
    ] = 32
    queues: Annotated[
        int | None,
        Count("virtio queues; 3 a vCPU (network both ways, disk) and 1 if absent", most=MOST_BUFFERS),
    ] = None
    ring_size: Annotated[int, Size("bytes of a queue's rings, in whole pages (16K: a split ring of 256 entries)")] = (
        16 << 10
    )
    dma_count: Annotated[int, Count("allocations of drivers at run time (64: assumed)", most=MOST_BUFFERS)] = 64
    dma_size: Annotated[int | None, Size("bytes of such an allocation; one page if absent", aligned=True)] = None
    placement: Annotated[
        Placement, Choice("where buffers lie: as a Linux guest places them, or anywhere", get_args(Placement))
    ] = "clustered"
    dma_lifetime: Annotated[int, Duration("their mean lifetime (4s: assumed)", zero=False)] = 4_000_000_000

    def span(self) -> int:
        """The duration."""
        return self.duration

    def _block(self, memory: int, page_size: int) -> Block | None:
        return place_block(memory, page_size, self.swiotlb_percent, self.swiotlb_min, self.swiotlb_max)

    def _queues(self) -> int:
        return 3 * self.vcpus + 1 if self.queues is None else self.queues

    def _ring(self, page_size: int) -> int:
        return -(-self.ring_size // page_size) * page_size

    def _ghcbs(self, guest: GuestSpec, page_size: int) -> int:
        return self.vcpus if guest.mapping_on(page_size) == "snp" else 0

    def _clock_pages(self, page_size: int) -> int:
        return -(-self.vcpus * KVMCLOCK_BYTES // page_size)

    def _demands(self, guest: GuestSpec, page_size: int, block: Block) -> Demands:
        """What needs a place; every buffer is as large as the largest."""
        return Demands(
            page_size=page_size,
            memory=guest.memory,
            block=block,
            firmware=self.firmware_pages * page_size,
            clocks=self._clock_pages(page_size),
            ghcbs=self._ghcbs(guest, page_size),
            buffers=self._queues() + self.dma_count,
            granule=max(page_size, self._ring(page_size), self.dma_size or 0),
        )

    def problems(self, guest: GuestSpec, page_size: int) -> Iterator[tuple[str, str]]:
        """A guest that is too small for what it would share."""
        block = self._block(guest.memory, page_size)
        if block is None:
            yield "swiotlb_min", describe_misfit(guest.memory)
            return
        if self.firmware_pages * page_size > block.offset:
            yield (
                "firmware_pages",
                f"found {self.firmware_pages} pages, expected at most {block.offset // page_size},"
                " which fit below the bounce buffer",
            )
            return
        demands = self._demands(guest, page_size, block)
        buffers = demands.clocks + demands.ghcbs + demands.buffers
        places = demands.anywhere.free
        if buffers > places:
            yield (
                "guest",
                f"found {buffers} buffers to share, expected at most {places},"
                f" which fit into {size_name(guest.memory)} beside the bounce buffer",
            )

    def steps(self, name: str, guest: GuestSpec, page_size: int, rng: Random, start: int) -> Iterator[Step]:
        """The conversions of the boot."""
        block = self._block(guest.memory, page_size) or Block(0, 0)
        demands = self._demands(guest, page_size, block)
        placing = split_rng(rng)  # of its own, so that places do not change what is demanded
        places = place(self.placement, demands, placing)
        tenth = self.duration // _TENTHS
        kernel, virtio, running = (start + part * tenth for part in (_KERNEL, _VIRTIO, _RUNNING))
        firmware = [block.offset - (i + 1) * page_size for i in range(self.firmware_pages)]
        rings = [places.pool.take(placing) for _ in range(self._queues())]
        end = start + self.duration
        times = (virtio + at for at in arrivals("poisson", self.dma_count, end - virtio, split_rng(rng)))
        dma = lives(times, self.dma_lifetime, end, split_rng(rng))

        def kernel_part() -> Iterator[Step]:
            for offset in firmware:
                yield self.convert(name, kernel, offset, page_size, "private")
            if block.size:
                yield self.convert(name, kernel, block.offset, block.size, "shared")
            for offset in places.clocks:
                yield self.convert(name, kernel, offset, page_size, "shared")

        return in_order(
            self._spread(name, firmware, page_size, start, kernel),
            kernel_part(),
            self._spread(name, places.ghcbs, page_size, kernel, virtio),
            self._spread(name, rings, self._ring(page_size), virtio, running),
            scattered(self.convert, name, dma, places.pool, self.dma_size or page_size, split_rng(rng)),
        )

    def _spread(self, name: str, places: list[int], size: int, start: int, end: int) -> Iterator[Step]:
        """Share ``places`` one after another, equally spaced from ``start`` to before ``end``."""
        for i, offset in enumerate(places):
            yield self.convert(name, start + (end - start) * i // len(places), offset, size, "shared")
