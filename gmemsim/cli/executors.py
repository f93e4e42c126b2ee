# SPDX-License-Identifier: GPL-2.0-or-later
"""``--jobs`` and ``--dask``: who does the work of a command that takes many runs.

Theory of operation
-------------------
:func:`executor_options` gives a command both options as one parameter, a :class:`Workers`; ``with workers.start() as
executor`` is what ``studies.spread`` wants: ``None`` for one process, which is this one.

Ctrl-C reaches every process of a terminal, but it is for this one to handle: workers ignore it.  They end on SIGTERM,
and when this process has gone, however it ended.  Dask's scheduler is used as it is; what it says to its log is kept
from the screen, since what a user must know is in the results.

What may live here: how workers are started and ended.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, connection, parent_process
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import click

from gmemsim.errors import Fault, InputError
from gmemsim.messages import shown
from gmemsim.results.provenance import VERSION

if TYPE_CHECKING:
    from distributed import Client

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

MOST_JOBS: Final = 256
"""Processes of a pool: more than one machine has use for."""

LOCAL: Final = "local"
"""The address that stands for a cluster of this machine, made for the command."""

CONNECT_SECONDS: Final = 20
"""How long a scheduler may take to answer."""


@attrs.frozen
class Workers:
    """Who does the work: ``jobs`` processes here, or the workers of the Dask scheduler at ``address`` (``None``: none).

    With the address :data:`LOCAL`, a cluster of so many processes is made.
    """

    jobs: int
    address: str | None = None

    @contextmanager
    def start(self) -> Iterator[Executor | None]:
        """The executor, within its context; ``None`` for one process.  :class:`InputError` if there is no cluster."""
        if self.address is not None:
            with _dask(self.address, self.jobs) as executor:
                yield executor
        elif self.jobs == 1:
            yield None
        else:
            from gmemsim.studies.spread import WorkerPool

            pool = WorkerPool(lambda: ProcessPoolExecutor(self.jobs, initializer=_begin), self.jobs)
            try:
                yield pool
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in active_children():  # nobody wants what they are in: the command would wait for it
                    process.terminate()


def available_processes() -> int:
    """Processes that can work at the same time: the processors that this one may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def executor_options(command: Decorated) -> Decorated:
    """The options ``--jobs`` and ``--dask``; the parameter ``workers`` is the :class:`Workers` that they mean."""
    jobs = click.option(
        "--jobs",
        type=click.IntRange(1, MOST_JOBS),
        metavar="N",
        expose_value=False,
        callback=_remember,
        is_eager=True,
        help="Processes that share the work; default: one for each processor.",
    )
    dask = click.option(
        "--dask",
        "workers",
        metavar="ADDRESS|local",
        callback=_workers,
        help="Let the workers of this Dask scheduler do the work, such as tcp://host:8786, or those of a cluster made"
        " for it here (with --jobs N: of N processes). Needs the extra gmemsim[cluster].",
    )
    return jobs(dask(command))


def _remember(ctx: click.Context, param: click.Parameter, value: int | None) -> None:
    ctx.meta[__name__] = value


def _workers(ctx: click.Context, param: click.Parameter, value: str | None) -> Workers:
    jobs = ctx.meta.get(__name__)
    if value not in (None, LOCAL) and jobs is not None:
        raise click.UsageError("--jobs says how many processes work here, and --dask that others work", ctx)
    return Workers(jobs or available_processes(), value)


def _begin() -> None:
    """In a process of a pool: what signals do, and what happens when the command has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait until the command has gone, then end: nobody wants the results."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


@contextmanager
def _dask(address: str, jobs: int) -> Iterator[Executor]:
    """The executor of a Dask cluster."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise click.UsageError("--dask needs the package distributed: pip install 'gmemsim[cluster]'") from None
    for name in ("distributed", "asyncio", "tornado", *logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "asyncio", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    if address == LOCAL:
        made = LocalCluster(
            n_workers=jobs, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL + 1
        )
        with made, Client(made) as client:
            yield _executor(client)
        return
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or "no answer"
        raise InputError(
            [Fault(f"--dask {shown(address)}", 0, 0, f"found no Dask scheduler there ({reason})")]
        ) from None
    with client:
        _check_versions(client, address)
        yield _executor(client)


def _executor(client: Client) -> Executor:
    executor: Executor = client.get_executor()
    executor.workers = max(1, sum(client.nthreads().values()))  # type: ignore[attr-defined]  # for studies.spread
    return executor


def _version() -> str:
    """In a worker of Dask: the version of gmemsim that it has."""
    return VERSION


def _check_versions(client: Client, address: str) -> None:
    """:class:`InputError` unless all workers have this version: another one may count something else."""
    found = client.run(_version, on_error="return")
    for worker, version in sorted(found.items()):
        if version != VERSION:
            told = f"gmemsim {version}" if isinstance(version, str) else f"no gmemsim ({version})"
            message = f"found {told} in the worker {worker}, expected {VERSION}"
            raise InputError([Fault(f"--dask {shown(address)}", 0, 0, message)])
