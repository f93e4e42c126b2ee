# SPDX-License-Identifier: GPL-2.0-or-later
"""How commands end: the exit codes, and the one place where an error becomes one of them.

Theory of operation
-------------------
A command raises what went wrong; :func:`report` turns it into lines on standard error and a code:

    === ==========================================================================
      0  done, and everything expected holds
      1  an expectation failed, or a check found a difference (the command says so itself)
      2  the input or the command line is wrong, or a file cannot be read or written:
         one line a fault, no output file is written
      3  the simulation refused to run what is well formed, no output file is written; or the machine's
         memory, or a cluster's workers, did not suffice: what was complete has been kept, and said
     70  a bug in gmemsim: a traceback (``EX_SOFTWARE`` of sysexits.h)
     74  standard output is closed, full or broken (``EX_IOERR``); output files are complete
         if the command got that far, and absent if not
    130  interrupted with Ctrl-C (SIGINT); what was complete has been kept, and said
    141  the reader of standard output has gone (what a shell reports for SIGPIPE); as 74
    143  ended with SIGTERM; as 130
    === ==========================================================================

What must change together: this table, which the reference of the documentation shows, and the constants below.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, TextIO

from gmemsim.cli import asciitext, signals
from gmemsim.cli.terminal import say
from gmemsim.errors import NO_MEMORY, InputError, SimulationRefused

if TYPE_CHECKING:
    from typing_extensions import Buffer

INPUT_WRONG, REFUSED, BUG, OUTPUT_BROKEN = 2, 3, 70, 74
INTERRUPTED, READER_GONE, TERMINATED = 130, 141, 143

NO_MEMORY_NOTED = -1
"""In place of a signal: the machine is out of memory."""

STDERR = 2
"""The highest standard descriptor."""


class Terminated(KeyboardInterrupt):
    """SIGTERM has come: what Ctrl-C ends, this ends too."""


class BrokenOutputError(OSError):
    """Standard output does not take what is written to it."""


class _StandardOutput(io.FileIO):
    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise BrokenOutputError(error.errno, error.strerror) from None


_noted: list[int] = []


def note_signal(number: int) -> None:
    """A command will end early, with what it has done so far, because of signal ``number``."""
    _noted[:] = [number]


def interrupted() -> int:
    """The exit code of a command that has ended early: 143 for SIGTERM, 130 for Ctrl-C, 3 for want of memory."""
    if _noted == [NO_MEMORY_NOTED]:
        return REFUSED
    return TERMINATED if _noted == [signal.SIGTERM] else INTERRUPTED


def ended_early() -> BaseException:
    """What ends a command that has nothing to show, because a signal or want of memory came before that."""
    return MemoryError() if _noted == [NO_MEMORY_NOTED] else KeyboardInterrupt()


def note_no_memory() -> None:
    """A command will end early, with what it has done so far, because the machine's memory did not suffice."""
    _noted[:] = [NO_MEMORY_NOTED]


def notice_sigterm() -> None:
    """From now on SIGTERM raises :class:`Terminated`, so that temporary files are removed."""
    signals.raises(signal.SIGTERM, Terminated)


def report(error: BaseException) -> int:
    """Say what went wrong on standard error; the exit code."""
    match error:
        case InputError(faults=faults):
            for words in dict.fromkeys(map(str, faults)):
                _complain(words)
            return INPUT_WRONG
        case SimulationRefused() | MemoryError():
            _complain(f"gmemsim: refused: {str(error) or NO_MEMORY}")
            return REFUSED
        case Terminated():
            _complain("gmemsim: terminated")
            return TERMINATED
        case KeyboardInterrupt():
            _complain("gmemsim: interrupted")
            return INTERRUPTED
        case BrokenPipeError() | BrokenOutputError(errno=errno.EPIPE):
            _let_go_of(sys.stdout)
            return READER_GONE
        case BrokenOutputError(strerror=str(reason)):
            _let_go_of(sys.stdout)
            _complain(f"gmemsim: standard output: {reason}")
            return OUTPUT_BROKEN
        case OSError(strerror=str(reason)):
            _complain(f"{error.filename or 'gmemsim'}: {reason}")
            return INPUT_WRONG
        case Exception():
            with contextlib.suppress(OSError):
                traceback.print_exception(error)
            _complain("gmemsim: this is a bug in gmemsim, not in its input")
            return BUG
        case _:
            raise error


def standard_output() -> TextIO | None:
    """Standard output as it is, but what goes wrong with it is a :class:`BrokenOutputError`; ``None`` if it is closed.

    A character that it cannot show becomes a question mark.
    """
    before = sys.stdout
    if not isinstance(before, io.TextIOWrapper):
        return before
    buffer = io.BufferedWriter(_StandardOutput(before.fileno(), "w", closefd=False))
    return io.TextIOWrapper(
        buffer,
        encoding_of(before),
        errors="replace",
        line_buffering=before.line_buffering,
        write_through=before.write_through,
    )


def encoding_of(stream: TextIO) -> str:
    """The encoding of what is written to ``stream``: its own, or ASCII with words for signs."""
    return asciitext.NAME if asciitext.is_wanted(stream.encoding, os.environ) else stream.encoding


def check_standard_output() -> None:
    """:class:`BrokenOutputError` if standard output is closed: what a command prints would be lost."""
    if sys.stdout is None:
        raise BrokenOutputError(errno.EBADF, "it is closed")


def hold_standard_descriptors() -> None:
    """Open those of the descriptors 0, 1 and 2 that are closed, or the next file would get the number of one."""
    descriptor = 0
    while descriptor <= STDERR:
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)


def _complain(line: str) -> None:
    try:
        say(line, err=True)
    except OSError:
        _let_go_of(sys.stderr)


def _let_go_of(stream: TextIO | None) -> None:
    """Point ``stream`` at nothing, or the interpreter would complain again when it flushes on exit."""
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
