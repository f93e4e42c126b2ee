# SPDX-License-Identifier: GPL-2.0-or-later
"""Output files: all of them or none, and never over an existing one unasked.

Theory of operation
-------------------
Files are written into a temporary directory beside their final place.  When all are complete they are *published*: each
is linked to its name, which fails if the name has been taken meanwhile.  If one fails, those linked before it are
removed again.  With ``force`` the existing files of the set are first moved aside, all of them, and moved back if
publishing fails.  So no reader sees half a file, and files of two runs never stand beside each other.  Signals wait
until publishing is over.  If the process is killed (SIGKILL, power) in the microseconds of publishing, files of the set
are missing, but those that are there belong together.

A name that is a symbolic link is taken, dangling or not.  With ``force`` the link itself is replaced, and what it
points to is left alone.

After Ctrl-C or SIGTERM the files that are complete are published; after Ctrl-C the command also says which are missing.

A run holds a lock on its temporary directory.  A directory that is not locked and is older than :data:`ABANDONED` was
left by a run that was killed; the next run that writes there removes it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs
import click

from gmemsim.cli.exits import Terminated
from gmemsim.cli.terminal import say
from gmemsim.errors import Fault, InputError
from gmemsim.reports.export import EXPORTS
from gmemsim.reports.figures import SUFFIXES
from gmemsim.reports.filesets import FileSet, alone

try:
    import fcntl
except ImportError:  # no POSIX: no locks, and nothing is removed that a lock does not show to be abandoned
    fcntl = None  # type: ignore[assignment]

Writer = Callable[[Path], None]

PREFIX = ".gmemsim-"
"""What the names of temporary directories begin with."""

ABANDONED = 60.0
"""Seconds after which a temporary directory that is not locked is removed."""


FOREIGN = frozenset(
    [
        ".avif",
        ".bmp",
        ".eps",
        ".gif",
        ".heic",
        ".jpeg",
        ".jpg",
        ".pdf",
        ".pgf",
        ".ps",
        ".svgz",
        ".tif",
        ".tiff",
        ".webp",
    ]
)
"""Endings of pictures that no command writes."""


@attrs.frozen
class Destination:
    """Where the files of a command go, and which they are: the name of each, and what writes it."""

    directory: Path
    files: FileSet


def names_directory(out: str | os.PathLike[str]) -> bool:
    """Whether ``out`` is a directory, or is written as one: with ``/`` at the end, or without an ending."""
    path = Path(out)
    return path.is_dir() or os.fsdecode(out).endswith("/") or not path.suffix


def destination(out: str | os.PathLike[str], files: FileSet, ctx: click.Context | None = None) -> Destination:
    """What ``--out`` means: a directory for all ``files``, or a file that ends as one of them, for that one alone.

    A usage error if it ends as several of them; :class:`InputError` if it ends as a file that is none of them.
    """
    path = Path(out)
    if names_directory(out):
        return Destination(path, files)
    try:
        single = alone(files, path)
    except ValueError as error:
        raise click.UsageError(f"--out {error}; give a directory", ctx) from None
    if single:
        return Destination(path.parent, single)
    check_ending(path, (Path(name).suffix for name in files))
    return Destination(path, files)


def check_ending(path: Path, written: Iterable[str]) -> None:
    """Raise :class:`InputError` if ``path`` ends as a picture or an output that is not among the endings ``written``.

    A directory of such a name is not what was meant, nor a file with other contents; any other ending may be a
    directory's.
    """
    endings = sorted({*written})
    found = path.suffix.lower()
    if found not in endings and found in {*FOREIGN, *SUFFIXES, *(row.suffix for row in EXPORTS.rows())}:
        expected = f"expected {', '.join(endings)}, or a directory, with / at the end if it is called so"
        raise _wrong(path, f"found the ending {found}, which is not written here, {expected}")


def check_free(directory: Path, names: Collection[str], *, force: bool) -> None:
    """Raise :class:`InputError` unless the files can be put into ``directory``; with ``force`` over existing ones."""
    if os.path.lexists(directory) and not directory.is_dir():
        found = "a link to nothing" if directory.is_symlink() and not directory.exists() else "a file"
        raise _wrong(directory, f"found {found}, expected a directory for the output")
    _check_names(directory, names, force=force)
    there = next(parent for parent in (directory, *directory.parents) if os.path.lexists(parent))
    try:
        Path(tempfile.mkdtemp(prefix=PREFIX, dir=there)).rmdir()
    except OSError as error:
        reason = error.strerror or str(error)
        raise _wrong(directory, f"found that nothing can be written there ({reason})") from None


def _check_names(directory: Path, names: Collection[str], *, force: bool) -> None:
    there = [name for name in names if os.path.lexists(directory / name) and not (force and _is_ours(directory / name))]
    if there and len(names) == 1:
        raise _wrong(directory / there[0], "found it already there; use --force to overwrite it, or another name")
    if there:
        message = f"found {', '.join(there)} already there; use --force to overwrite files, or another directory"
        raise _wrong(directory, message)


def _is_ours(path: Path) -> bool:
    """Whether ``force`` may replace it: a file, or a link."""
    return path.is_symlink() or path.is_file()


def _wrong(path: Path, message: str) -> InputError:
    return InputError([Fault(str(path), 0, 0, message)])


def write_all(directory: Path, writers: Mapping[str, Writer], *, force: bool = False) -> tuple[str, ...]:
    """Call every writer with a temporary path, then publish the files under their names in ``directory``.

    Returns the names that were written: all of them, or, after Ctrl-C, those that were complete.  Raises
    :class:`InputError` if a name has been taken meanwhile, and whatever a writer raises; nothing is written then.
    """
    directory.mkdir(parents=True, exist_ok=True)
    remove_abandoned(directory)
    with _temporary(directory) as temporary:
        complete: list[str] = []
        ended: KeyboardInterrupt | None = None
        try:
            for name, write in writers.items():
                write(temporary / name)
                complete.append(name)
        except KeyboardInterrupt as error:
            ended = error
        if complete:
            with _undisturbed(), _locked(directory):
                _check_names(directory, writers, force=force)
                _publish(directory, temporary, complete, aside=writers if force else ())
        if ended is not None and (not complete or isinstance(ended, Terminated)):
            raise ended
    return tuple(complete)


def _publish(directory: Path, temporary: Path, names: Iterable[str], aside: Iterable[str]) -> None:
    """Move the names ``aside`` out of the way, then link the files to their names; all of that, or nothing."""
    old = temporary / ".old"
    old.mkdir()
    moved: list[str] = []
    linked: list[str] = []
    try:
        for name in aside:
            with contextlib.suppress(FileNotFoundError):
                (directory / name).rename(old / name)
                moved.append(name)
        for name in names:
            _link(temporary / name, directory / name)
            linked.append(name)
    except OSError as error:
        for name in linked:
            (directory / name).unlink()
        for name in moved:
            (old / name).rename(directory / name)
        if isinstance(error, FileExistsError):
            raise _wrong(directory, "found files of the output that another program has just written") from None
        raise


def _link(file: Path, name: Path) -> None:
    """Give ``file`` this name; ``FileExistsError`` if there is one."""
    try:
        os.link(file, name)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: take the name first, then replace what is ours
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        file.replace(name)


@contextmanager
def _temporary(directory: Path) -> Iterator[Path]:
    """A temporary directory that is locked while it is in use, and gone afterwards."""
    temporary = Path(tempfile.mkdtemp(prefix=PREFIX, dir=directory))
    try:
        with _locked(temporary):
            yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_abandoned(directory: Path) -> None:
    """Remove temporary directories that runs left which were killed."""
    for path in directory.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > ABANDONED and not path.is_symlink() and _is_free(path):
                shutil.rmtree(path, ignore_errors=True)


def _is_free(directory: Path) -> bool:
    if fcntl is None:
        return False
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold a lock on ``directory``, where there are locks."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until this is over."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def write_text(text: str, path: Path) -> None:
    """Write ``text`` to ``path`` as it is."""
    path.write_text(text, encoding="utf-8", newline="\n")


def copy(source: Path, path: Path) -> None:
    """Copy the content of ``source`` to ``path``."""
    shutil.copyfile(source, path)


def tell_written(directory: Path, written: Collection[str], wanted: Iterable[str], *, err: bool) -> bool:
    """Say which files were written, to standard error if ``err``; whether those are all that were ``wanted``."""
    missing = [name for name in wanted if name not in written]
    where = "" if directory == Path() else f" into {directory}"
    say(f"wrote {', '.join(written)}{where}", err=err)
    if missing:
        say(f"gmemsim: interrupted: without {', '.join(missing)}", err=True)
    return not missing
