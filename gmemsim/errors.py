# SPDX-License-Identifier: GPL-2.0-or-later
"""Every exception the package raises on purpose, and nothing else.

Theory of operation
-------------------
Three things can go wrong, and a caller must be able to tell them apart:

* the *modelled kernel* refuses a call: a :class:`KernelError`, which carries the kernel's errno.  It is an
  outcome of a simulation, never a crash of it;
* the *input* is wrong: an :class:`InputError`, a list of :class:`Fault` with a place in a file each (exit code 2);
* the *simulation* itself cannot go on with an input that is well formed: :class:`SimulationRefused` (exit code 3).

Anything else that escapes is a bug in gmemsim.
"""

from __future__ import annotations

import errno as _errno
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

ERRNO_NAMES = (*_errno.errorcode.values(), "EHWPOISON")
"""The symbolic names of all errnos; Python's errno module lacks the last."""


class GmemsimError(Exception):
    """Base class of all exceptions raised by gmemsim."""


class KernelError(GmemsimError):
    """The modelled kernel answered a call with an errno.

    ``message`` says what was refused and why.  ``errno`` is the positive number (``errno.ENOMEM``); ``error_offset`` is
    the offset in bytes, from the start of the guest_memfd, at which the call stopped, or ``None`` (default) where the
    call has no such offset.
    """

    errno: ClassVar[int] = 0

    def __init__(self, message: str, *, error_offset: int | None = None) -> None:
        super().__init__(message)
        self.error_offset = error_offset

    @property
    def name(self) -> str:
        """The errno's symbolic name, such as ``"ENOMEM"``."""
        return "EHWPOISON" if self.errno == Poisoned.errno else _errno.errorcode[self.errno]


class OutOfMemory(KernelError):
    """ENOMEM: an allocation failed.

    ``held`` objects (default 0) had been obtained before the failure and were given back; ``message`` and
    ``error_offset`` (bytes, default ``None``) are as for every :class:`KernelError`.
    """

    errno: ClassVar[int] = _errno.ENOMEM

    def __init__(self, message: str, *, error_offset: int | None = None, held: int = 0) -> None:
        super().__init__(message, error_offset=error_offset)
        self.held = held


class Again(KernelError):
    """EAGAIN: a folio in the range is in use (pinned or mapped); the caller may retry."""

    errno: ClassVar[int] = _errno.EAGAIN


class Invalid(KernelError):
    """EINVAL: an argument makes no sense for this object."""

    errno: ClassVar[int] = _errno.EINVAL


class Busy(KernelError):
    """EBUSY: the index is occupied, or no free index is left."""

    errno: ClassVar[int] = _errno.EBUSY


class Exists(KernelError):
    """EEXIST: a larger entry already covers part of the range."""

    errno: ClassVar[int] = _errno.EEXIST


class NotSupported(KernelError):
    """ENOTTY: the modelled kernel or guest_memfd does not offer this call."""

    errno: ClassVar[int] = _errno.ENOTTY


class Poisoned(KernelError):
    """EHWPOISON: the page has an uncorrectable memory error."""

    errno: ClassVar[int] = 133  # include/uapi/asm-generic/errno.h; Python's errno module does not know it


class BadAddress(KernelError):
    """EFAULT: the host touched memory that it must not (a private page); user space sees SIGBUS."""

    errno: ClassVar[int] = _errno.EFAULT


class BadFileDescriptor(KernelError):
    """EBADF: the guest_memfd has been closed."""

    errno: ClassVar[int] = _errno.EBADF


class Fault(NamedTuple):
    """One thing wrong with one place of an input: ``line`` and ``column`` count from 1, 0 means "the whole file"."""

    source: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}:{self.column}" if self.line else self.source
        return f"{place}: {self.message}"


class InputError(GmemsimError):
    """The input is wrong; ``faults`` holds every fault found, in file order."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda f: (f.source, f.line, f.column)))
        super().__init__("\n".join(map(str, self.faults)))

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Fault, ...]]]:
        """It comes back from a worker process as what it was; by default it would be made of its message."""
        return type(self), (self.faults,)


class SimulationRefused(GmemsimError):
    """The scenario is well formed, but the simulation cannot be carried out; the message says why."""


NO_MEMORY = "this machine has not enough memory for it"
"""What is said where the machine that runs gmemsim, not the modelled one, is out of memory."""


class WorkersLost(SimulationRefused):
    """Work cannot go on because its workers have gone, and no new ones can be had; the message says which."""
