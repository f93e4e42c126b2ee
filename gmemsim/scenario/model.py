# SPDX-License-Identifier: GPL-2.0-or-later
"""What a scenario is, as frozen values: the host, the guests, the workload, what is expected of the run.

Theory of operation
-------------------
A :class:`Scenario` is complete and checked: ``load`` makes one from a file, tests and sweeps make them in
Python. Sizes are bytes and times nanoseconds, both int.  Every attribute that a file can set is annotated
with a kind from ``format.kinds``; the loader and the JSON Schema are derived from the annotations.

A step names a guest.  A guest with ``count: n`` stands for the instances ``name-0`` … ``name-(n-1)``: a
step for ``name`` addresses all of them in that order, a step for ``name-3`` one
(:meth:`Scenario.instances`).  Steps that stand for many others (a guest's boot, say) are generators and
live in ``scenario.generators``.

A run makes a step for every call.  So mypy refuses to change a step, but nothing does so at run time: that would double
what making one costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import attrs

from gmemsim.gmem.guest import VCPUS
from gmemsim.gmem.policy import Policy
from gmemsim.gmem.stage2 import LeafRule
from gmemsim.host.accounts import ACCOUNTS
from gmemsim.host.geometry import Geometry
from gmemsim.host.injection import ANY
from gmemsim.scenario.format.kinds import (
    ALL,
    Choice,
    Count,
    Duration,
    Entry,
    Errno,
    Flag,
    Name,
    Record,
    Size,
    table,
)
from gmemsim.scenario.hostspec import HostSpec as HostSpec
from gmemsim.scenario.hostspec import NodeSpec as NodeSpec

VERSION = 1
"""The only version of the file format there has been, the value of the key ``gmemsim``."""

MOST_INSTANCES = 4096
"""Guests of a host, instances counted: more than any host runs, and few enough to list."""

MOST_VCPUS = 4096
"""vCPUs of a guest: KVM_MAX_VCPUS of x86 (arch/x86/include/asm/kvm_host.h)."""

EVERY = ALL
"""The name by which a step addresses all guests; no guest may have it."""

MAPPINGS = ("plain", "snp", "tdx")
State = Literal["shared", "private"]
Extent = int | Literal["all"]
"""Bytes from an offset on, or ``"all"``: to the guest's end."""

Operator = Literal["eq", "ne", "le", "ge", "approx"]


if TYPE_CHECKING:
    from attrs import frozen as step_class
else:  # the constructor of a frozen class goes through object.__setattr__ for every attribute
    step_class = partial(attrs.define, unsafe_hash=True, on_setattr=attrs.setters.NO_OP)


@step_class
class Place:
    """Where in the file something stands, ``line`` and ``column`` from 1; 0 for what is not from a file."""

    line: int = 0
    column: int = 0


NOWHERE = Place()


@attrs.frozen(kw_only=True)
class GuestSpec:
    """``count`` guests that are alike: ``memory`` bytes each in hugepages of ``backing`` bytes."""

    name: Annotated[str, Name("what steps and metrics call it")]
    memory: Annotated[int, Size("its size, a multiple of the backing", aligned=True)]
    backing: Annotated[int, Size("its hugepages, or the base page", aligned=True)]
    count: Annotated[int, Count("guests like this one", least=1, most=MOST_INSTANCES)] = 1
    mapping: Annotated[
        Literal["plain", "snp", "tdx"] | None,
        Choice("how stage 2 maps private memory; snp on x86's page sizes if absent, else plain", MAPPINGS),
    ] = None
    policy: Annotated[Policy, Record("how conversions are carried out", Policy, "a policy")] = attrs.field(
        factory=Policy
    )
    conversion: Annotated[Literal["in-place", "off"], Choice("off: the ioctl answers ENOTTY", ("in-place", "off"))] = (
        "in-place"
    )

    vcpus: Annotated[int, Count("vCPUs, all kicked when mappings go (16: assumed)", least=1, most=MOST_VCPUS)] = VCPUS
    initially_shared: Annotated[bool, Flag("starts shared instead of private; refused for hugepages")] = False
    stage2: Annotated[
        LeafRule,
        Choice("leaves split with folios: those that cross the range, or all larger", ("range", "follow-folio")),
    ] = "range"
    kernel_memory: Annotated[
        int | None, Size("most kernel memory charged to its memcg; it fails before the host's", unlimited=True)
    ] = None
    node: Annotated[int, Count("the NUMA node of its memory and of its VMM; see host.nodes")] = 0

    def mapping_on(self, page_size: int) -> Literal["plain", "snp", "tdx"]:
        """How stage 2 maps private memory on a host with base pages of ``page_size`` bytes."""
        return self.mapping or Geometry(page_size).default_mapping(self.backing)

    @property
    def instances(self) -> tuple[str, ...]:
        """The names of the guests that this stands for."""
        return (self.name,) if self.count == 1 else tuple(f"{self.name}-{i}" for i in range(self.count))


@attrs.frozen
class ExpectedError:
    """A step must fail with ``errno``, and at ``error_offset`` (bytes) if that is given."""

    errno: Annotated[str, Errno("the errno it must fail with")]
    error_offset: Annotated[int | None, Size("the offset it must stop at; any if absent", zero=True)] = None


@attrs.frozen(kw_only=True)
class Retry:
    """A conversion that fails with EAGAIN or ENOMEM is tried again after ``delay`` ns, up to ``times`` times."""

    times: Annotated[int, Count("how often it is tried again", least=1, most=1_000_000)]
    delay: Annotated[int, Duration("time before it is tried again")]


@step_class(kw_only=True)
class Step:
    """One line of the workload.  ``at`` is when it begins, ``None`` for right after the step before.

    ``key`` is its name in a file; ``can_fail`` whether it is a call that the kernel may refuse.  ``where`` is its place
    in the file.
    """

    key: ClassVar[str]
    can_fail: ClassVar[bool] = False

    at: Annotated[int | None, Duration("when it begins, in simulated time; right after the step before if absent")] = (
        None
    )
    id: Annotated[str | None, Name("what expectations call it; they cannot if absent")] = None
    expect_error: Annotated[
        ExpectedError | None, Record("how it must fail; it may do either if absent", ExpectedError, "an error")
    ] = None
    where: Place = attrs.field(default=NOWHERE, eq=False)


@step_class(kw_only=True)
class GuestStep(Step):
    """A step for a guest, for the guests of a group one after another, or for ``all`` guests."""

    can_fail: ClassVar[bool] = True

    guest: Annotated[str, Name("which guest, group of guests, or all")]


def bytes_of(size: Extent, offset: int, memory: int) -> int:
    """The bytes that ``size`` means at ``offset`` of a guest with ``memory`` bytes."""
    return size if isinstance(size, int) else memory - offset


@step_class(kw_only=True)
class RangeStep(GuestStep):
    """A step for a range that begins at ``offset`` of a guest."""

    offset: Annotated[int, Size("first byte", aligned=True, zero=True)]

    def extent(self, memory: int, page_size: int) -> tuple[int, int]:
        """Offset and bytes of the range in a guest with ``memory`` bytes in base pages of ``page_size`` bytes."""
        raise NotImplementedError


@step_class(kw_only=True)
class SizedStep(RangeStep):
    """A step for ``size`` bytes at ``offset`` of a guest."""

    size: Annotated[
        Extent, Size("bytes, or all: to the guest's end; 0 only to see it refused", aligned=True, zero=True, whole=True)
    ]

    def extent(self, memory: int, page_size: int) -> tuple[int, int]:
        """Offset and bytes of the range in a guest with ``memory`` bytes."""
        size = self.size
        return self.offset, size if isinstance(size, int) else memory - self.offset


@step_class(kw_only=True)
class Allocate(SizedStep):
    """fallocate: give the range memory now instead of at the first fault."""

    key: ClassVar[str] = "allocate"


@step_class(kw_only=True)
class Convert(SizedStep):
    """KVM_SET_MEMORY_ATTRIBUTES2: make the range shared or private."""

    key: ClassVar[str] = "convert"

    to: Annotated[State, Choice("what it becomes", ("shared", "private"))]
    retry: Annotated[Retry | None, Record("how it is tried again; not at all if absent", Retry, "a retry")] = None

    @classmethod
    def made(
        cls, guest: str, at: int | None, offset: int, size: int, to: State, retry: Retry | None, where: Place
    ) -> Convert:
        """The conversion of ``guest`` at time ``at`` (ns): ``size`` bytes from ``offset`` on become what ``to`` says.

        ``retry`` and ``where`` are as in the constructor, and the rest has its defaults.  For those who make one for
        every call: Python passes keywords to a class in a dict, so the constructor takes three times as long.
        """
        self = cls.__new__(cls)
        (self.guest, self.at, self.offset, self.size, self.to) = (guest, at, offset, size, to)  # type: ignore[misc] # frozen
        (self.retry, self.where, self.id, self.expect_error) = (retry, where, None, None)  # type: ignore[misc] # frozen
        return self


@step_class(kw_only=True)
class FaultIn(RangeStep):
    """The guest, or the host's user space, touches every page of the range: one base page if it has no ``size``."""

    key: ClassVar[str] = "fault"

    size: Annotated[
        Extent | None,
        Size("bytes, or all: to the guest's end; one base page if absent", aligned=True, zero=True, whole=True),
    ] = None

    by: Annotated[Literal["guest", "host"], Choice("who touches it", ("guest", "host"))] = "guest"

    def extent(self, memory: int, page_size: int) -> tuple[int, int]:
        """Offset and bytes of the range in a guest with ``memory`` bytes."""
        return self.offset, page_size if self.size is None else bytes_of(self.size, self.offset, memory)


@step_class(kw_only=True)
class ReferenceStep(SizedStep):
    """A step for references to ``each`` page of the range, or to its ``first``."""

    pages: Annotated[Literal["each", "first"], Choice("which pages", ("each", "first"))] = "each"


@step_class(kw_only=True)
class Pin(ReferenceStep):
    """Long-term references to ``each`` page of the range, or to its ``first``."""

    key: ClassVar[str] = "pin"


@step_class(kw_only=True)
class Unpin(ReferenceStep):
    """Drop the references that ``pin`` took of ``each`` page of the range, or of its ``first``."""

    key: ClassVar[str] = "unpin"


@step_class(kw_only=True)
class PunchHole(SizedStep):
    """FALLOC_FL_PUNCH_HOLE: give the range's memory back; its attributes stay."""

    key: ClassVar[str] = "punch_hole"


@step_class(kw_only=True)
class Poison(GuestStep):
    """An uncorrectable memory error hits the base page at ``offset``."""

    key: ClassVar[str] = "poison"

    offset: Annotated[int, Size("the page", aligned=True, zero=True)]


@step_class(kw_only=True)
class Close(GuestStep):
    """Close the guest_memfd."""

    key: ClassVar[str] = "close"


@step_class(kw_only=True)
class Unshare(SizedStep):
    """To private what of the range is shared; only generators make it.

    What it converts is known when it is its turn, and counts as ``convert``: one conversion for each contiguous part
    that is shared, cut at every multiple of ``piece`` bytes from the offset on if that is given.  The conversions come
    as the range is gone through in ``span`` ns.  ``size`` is in bytes; ``retry`` (default: none) says how a conversion
    that fails is tried again.
    """

    key: ClassVar[str] = "convert"

    size: int
    piece: int | None = None
    span: int = 0
    retry: Retry | None = None

    def calls(self, name: str, shared: Iterable[tuple[int, int]]) -> Iterator[Convert]:
        """The conversions of the guest ``name`` of which the bytes ``start`` … ``end`` of each in ``shared`` are."""
        piece = self.piece or self.size
        for start, end in shared:
            while start < end:
                begun = (start - self.offset) // piece * piece
                stop = min(end, self.offset + begun + piece)
                at = None if self.at is None else self.at + self.span * begun // self.size
                yield Convert(
                    guest=name,
                    at=at,
                    offset=start,
                    size=stop - start,
                    to="private",
                    retry=self.retry,
                    where=self.where,
                )
                start = stop


@step_class(kw_only=True)
class Touch(SizedStep):
    """The host touches what of the range is shared; only generators make it.

    What that is is known when it is its turn, and counts as ``fault``: one fault for each contiguous part.  ``size`` is
    in bytes.
    """

    key: ClassVar[str] = "fault"

    size: int

    def calls(self, name: str, shared: Iterable[tuple[int, int]]) -> Iterator[FaultIn]:
        """The faults of the guest ``name`` of which the bytes ``start`` … ``end`` of each in ``shared`` are."""
        for start, end in shared:
            yield FaultIn(guest=name, at=self.at, offset=start, size=end - start, by="host", where=self.where)


@step_class(kw_only=True)
class Wait(Step):
    """Let simulated time pass."""

    key: ClassVar[str] = "wait"

    duration: Annotated[int, Duration("how long", key="for")]


@step_class(kw_only=True)
class Inject(Step):
    """From here on the ``nth`` object of ``account`` cannot be had; ``forever``: nor any after it."""

    key: ClassVar[str] = "inject"

    account: Annotated[str, Choice("which account, or any", ACCOUNTS, more=(ANY,))]
    nth: Annotated[int, Count("which object, 1 is the next", least=1)]
    mode: Annotated[Literal["once", "forever"], Choice("this one only, or all later ones", ("once", "forever"))] = (
        "once"
    )


STEPS: tuple[type[Step], ...] = (Allocate, Convert, FaultIn, Pin, Unpin, PunchHole, Poison, Close, Wait, Inject)
"""The steps that the run carries out itself."""


def step_keys(step: type[Step]) -> dict[str, Entry]:
    """The keys of ``step`` in a file; only a call that can fail may say how it must."""
    if step not in _STEP_KEYS:
        keys = {name: entry for name, entry in table(step).items() if name != "expect_error" or step.can_fail}
        _STEP_KEYS[step] = keys
    return _STEP_KEYS[step]


_STEP_KEYS: dict[type[Step], dict[str, Entry]] = {}
"""What :func:`step_keys` has made, for files with many steps."""


@attrs.frozen(kw_only=True)
class Expectation:
    """``metric``, a path into the summary, must be ``op`` ``value`` after the step ``after``, or at the end.

    ``rel`` is the tolerance of ``approx``, relative to ``value``.  ``where`` is its place in the file.
    """

    metric: str
    op: Operator
    value: int | float
    rel: float | None = None
    after: str | None = None
    where: Place = attrs.field(default=NOWHERE, eq=False)

    def holds(self, found: int | float) -> bool:
        """Whether ``found`` is what was expected."""
        match self.op:
            case "eq":
                return found == self.value
            case "ne":
                return found != self.value
            case "le":
                return found <= self.value
            case "ge":
                return found >= self.value
            case "approx":
                return abs(found - self.value) <= (self.rel or 0) * abs(self.value)


def _addresses(scenario: Scenario) -> Mapping[str, tuple[tuple[str, GuestSpec], ...]]:
    addresses: dict[str, tuple[tuple[str, GuestSpec], ...]] = {}
    for guest in scenario.guests:
        addresses |= {name: ((name, guest),) for name in guest.instances}
        addresses[guest.name] = tuple((name, guest) for name in guest.instances)
    return addresses | {EVERY: tuple((name, guest) for guest in scenario.guests for name in guest.instances)}


@attrs.frozen(kw_only=True)
class Scenario:
    """All there is to know before a run.

    ``message_id`` is that of the mail that asked what the scenario is about, ``answer`` what its run says, in one line.
    ``source`` is the file's name as messages show it; ``sha256`` is of the text that it was read from, ``None`` for
    what was made in Python.  ``settings`` (default: none) were put into that text, each ``KEY=VALUE``.  A guest that
    names no ``mapping`` has here the one that the host's page size gives it.  ``title`` and ``seed`` are what outputs
    say of it; ``host``, ``guests``, ``workload`` and ``expect`` what the file says.
    """

    title: str
    message_id: str | None = None
    answer: str | None = None
    seed: int = 0
    host: HostSpec = attrs.field(factory=HostSpec)
    guests: tuple[GuestSpec, ...]
    workload: tuple[Step, ...] = ()
    expect: tuple[Expectation, ...] = ()
    source: str = "<python>"
    sha256: str | None = attrs.field(default=None, eq=False)
    settings: tuple[str, ...] = attrs.field(default=(), eq=False)
    _by_name: Mapping[str, tuple[tuple[str, GuestSpec], ...]] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        page_size = self.host.page_size
        mapped = tuple(attrs.evolve(guest, mapping=guest.mapping_on(page_size)) for guest in self.guests)
        object.__setattr__(self, "guests", mapped)
        object.__setattr__(self, "_by_name", _addresses(self))

    def instances(self, name: str) -> tuple[tuple[str, GuestSpec], ...]:
        """The guests that a step for ``name`` addresses, in order; ``KeyError`` if there is no such guest."""
        return self._by_name[name]

    @property
    def guest_names(self) -> tuple[str, ...]:
        """The names of all guests, instances of a group one by one."""
        return tuple(name for guest in self.guests for name in guest.instances)
