# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim import``: a scenario from a recorded log of conversions.

The scenario refers to the log through a ``replay`` step and does not contain it, so that a log of gigabytes stays a
log.  What the log holds, what of it cannot be used and which slots are assumed stands in the scenario as comments and
on the screen; what makes it doubtful (memory that the guest does not have) goes to stderr as well.

A log that names several descriptors (of VMs or guest_memfds) becomes a scenario of as many guests, side by side.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from gmemsim.cli.group import SuggestingGroup
from gmemsim.cli.outputs import check_free, write_all, write_text
from gmemsim.cli.parameters import Choice, size_parameter
from gmemsim.cli.terminal import show_data
from gmemsim.errors import Fault, InputError

if TYPE_CHECKING:
    from gmemsim.scenario.generators import Replay
    from gmemsim.scenario.logs.slots import Slot
    from gmemsim.scenario.model import GuestSpec

PREFIX = "vm"
GUEST = f"{PREFIX}0"
"""What an imported scenario calls its guest."""

MOST_SOURCES = 64
"""Guests that an import tells apart: each reads the log once more."""

PAGE_SIZE = 4096
"""QEMU's confidential guests are x86."""


def _read_duration(ctx: click.Context, param: click.Parameter, value: str) -> int:
    from gmemsim.units import parse_duration

    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def _read_slots(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[Slot, ...] | None:
    from gmemsim.scenario.logs.slots import parse_slot

    try:
        return tuple(map(parse_slot, value)) or None
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


_OPTIONS = (
    click.argument("log", type=click.Path(path_type=Path)),
    click.option(
        "-o", "--output", required=True, metavar="FILE", type=click.Path(path_type=Path), help="The scenario to write."
    ),
    click.option(
        "--slot",
        "slots",
        multiple=True,
        metavar="GPA:SIZE:OFFSET",
        callback=_read_slots,
        help="Memory at a guest-physical address and where it is in the guest_memfd (may be repeated); default: those "
        "of --machine, which has a hole below 4G if it has much memory.",
    ),
    click.option(
        "--machine", type=Choice(["q35", "pc"]), default="q35", show_default=True, help="QEMU's machine type."
    ),
    click.option(
        "--spacing", callback=_read_duration, default="1ms", show_default=True, help="Between events without a time."
    ),
    click.option(
        "--reorder", callback=_read_duration, default="1ms", show_default=True, help="How far times may go back."
    ),
    click.option("--pid", type=click.IntRange(min=0), help="Only the events of this process."),
    click.option("--fd", type=click.IntRange(min=0), help="Only the events of this descriptor (bpftrace)."),
    click.option(
        "--never-private",
        type=Choice(["untouched", "shared"]),
        default="untouched",
        show_default=True,
        help="What memory is that the log never makes private: the guest never touched it, or used it as shared from "
        "the start.",
    ),
    click.option("--memory", callback=size_parameter, default="16G", show_default=True, help="The guest's memory."),
    click.option("--backing", callback=size_parameter, default="2M", show_default=True, help="Its hugepages, or 4K."),
    click.option("--force", is_flag=True, help="Overwrite FILE if it is there."),
)


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group("import", cls=SuggestingGroup)
def import_() -> None:
    """Make a scenario of a recorded log."""


@import_.command()
@_options
def qemu(log: Path, output: Path, force: bool, **settings: Any) -> None:
    """Make a scenario of LOG, in which QEMU printed its trace event kvm_convert_memory.

    Lines may have text before the event and other events may lie between; LOG may be compressed with gzip. Timestamps
    become simulated time from the first event on: -msg timestamp=on prints them (2025-11-18T10:20:00.002000Z), older
    QEMUs do by themselves (PID@SECONDS.MICROS:). Lines that cannot be used are counted.

    \b
    Examples:
      qemu-system-x86_64 -msg timestamp=on -trace kvm_convert_memory -D conversions.log ...
      gmemsim import qemu conversions.log -o conversions.yaml --memory 16G --backing 1G
      gmemsim import qemu conversions.log -o slots.yaml --slot 0:3G:0 --slot 4G:5G:3G --spacing 10us
      gmemsim import qemu scenarios/replay-qemu.log -o sample.yaml
    """
    _import("qemu", log, output, force=force, **settings)


@import_.command()
@_options
def bpftrace(log: Path, output: Path, force: bool, **settings: Any) -> None:
    """Make a scenario of LOG, recorded on a running host by the script gmem.bt.

    It prints every call that sets memory attributes, of all processes: KVM_SET_MEMORY_ATTRIBUTES of a VM and
    KVM_SET_MEMORY_ATTRIBUTES2 of a guest_memfd, with errno. Each descriptor becomes a guest, unless --pid and --fd
    choose. bpftrace collects what each CPU prints by itself, so times may go back a little.

    \b
    Example, as root:
      gmemsim import script gmem.bt > gmem.bt
      bpftrace -q gmem.bt > conversions.log
      gmemsim import bpftrace conversions.log -o host.yaml --pid 4711
    """
    _import("bpftrace", log, output, force=force, **settings)


@import_.command()
@click.argument("name", type=Choice(["gmem.bt", "gmem-counters.sh"]))
def script(name: str) -> None:
    """Print the recording script NAME.

    gmem.bt records conversions with bpftrace; gmem-counters.sh compares the kernel's counters before and after one
    conversion, and names the command that predicts the differences.

    \b
    Example:
      gmemsim import script gmem-counters.sh > gmem-counters.sh
    """
    from importlib.resources import files

    text = files("gmemsim.scenario.logs").joinpath("recording", name).read_text(encoding="utf-8")
    show_data(text)


def _import(
    format: str,
    log: Path,
    output: Path,
    *,
    slots: tuple[Slot, ...] | None,
    memory: int,
    backing: int,
    force: bool,
    **settings: Any,
) -> None:
    from gmemsim.scenario.format.load import parse_scenario
    from gmemsim.scenario.generators import Replay
    from gmemsim.scenario.model import GuestSpec
    from gmemsim.scenario.shipped import resolve

    log = Path(resolve(log))
    _check_sizes(memory, backing)
    check_free(output.parent, [output.name], force=force)
    if output.exists() and log.exists() and output.samefile(log):
        raise InputError([Fault(str(output), 0, 0, "found the log itself, expected another file for the scenario")])
    guest = GuestSpec(name=GUEST, memory=memory, backing=backing)
    replay = Replay(guest=GUEST, file=str(log), format=format, slots=slots, **settings)
    _check(replay, guest, log)
    replays = _by_source(replay, guest)
    for part in replays:
        _check(part, guest, log)
    try:
        parse_scenario(_scenario(replays, guest, str(log.resolve())))  # such as a name that is too long
    except InputError as error:  # the output is not there, so what is wrong is said of the log
        raise InputError(fault._replace(source=str(log), line=0, column=0) for fault in error.faults) from None
    text = _scenario(replays, guest, os.path.relpath(log.resolve(), output.parent.resolve()))
    write_all(output.parent, {output.name: partial(write_text, text)}, force=force)
    for line in dict.fromkeys(line for part in replays for line in part.warnings(guest, PAGE_SIZE)):
        click.echo(f"warning: {line}", err=True)
    for line in (*_remarks(replays, guest), f"wrote {output}"):
        click.echo(line)


def _check(replay: Replay, guest: GuestSpec, log: Path) -> None:
    """What is wrong with the log or with the slots."""
    problems = list(replay.problems(guest, PAGE_SIZE))
    if problems:
        raise InputError(Fault(str(log) if key == "file" else "--slot", 0, 0, text) for key, text in problems)


def _by_source(replay: Replay, guest: GuestSpec) -> list[Replay]:
    """One replay for each guest that the log tells apart, which begins when its first event came."""
    sources = replay.read(guest, PAGE_SIZE).tally.sources
    if len(sources) < 2:
        return [replay]
    if len(sources) > MOST_SOURCES:
        found = f"found calls of {len(sources)} descriptors, expected at most {MOST_SOURCES}; choose with --pid or --fd"
        raise InputError([Fault(replay.file, 0, 0, found)])
    replays = [
        attrs.evolve(replay, guest=f"{PREFIX}{i}", pid=pid, fd=fd, at=time)
        for i, ((pid, fd), time) in enumerate(sources.items())
    ]
    return [part for part in replays if part.read(guest, PAGE_SIZE).tally.usable]


def _remarks(replays: list[Replay], guest: GuestSpec) -> Iterator[str]:
    """What there is to say of the log, and of each guest if there are several."""
    yield _slots_in_words(replays[0], guest)
    for replay in replays:
        source = f" of process {replay.pid}" if replay.pid is not None else ""
        name = f"{replay.guest} (descriptor {replay.fd}{source}): " if len(replays) > 1 else ""
        yield from (f"{name}{line}" for line in replay.remarks(guest, PAGE_SIZE))


def _check_sizes(memory: int, backing: int) -> None:
    """Usage errors for a guest that cannot be."""
    from gmemsim.host.geometry import Geometry
    from gmemsim.units import size_name

    geometry = Geometry(PAGE_SIZE)
    if backing != PAGE_SIZE and (problem := geometry.hugepage_problem(backing)):
        raise click.UsageError(f"--backing: {problem}")
    if memory <= 0 or memory % backing:
        raise click.UsageError(
            f"--memory is {size_name(memory)}, expected a multiple of --backing {size_name(backing)}"
        )


def _slots_in_words(replay: Replay, guest: GuestSpec) -> str:
    """Which slots are used, and whether they are given or assumed."""
    given = "as given" if replay.slots is not None else f"assumed, as on {replay.machine}"
    return f"slots (GPA:SIZE:OFFSET, {given}): {' '.join(map(str, replay.slots_of(guest)))}"


def _scenario(replays: list[Replay], guest: GuestSpec, file: str) -> str:
    """The text of the scenario, which refers to the log as ``file``."""
    from gmemsim.units import size_name

    memory, backing = size_name(guest.memory), size_name(guest.backing)
    hugepages = len(replays) * guest.memory // guest.backing
    pool = f"hugetlb: {{{backing}: {hugepages}}}" if guest.backing > PAGE_SIZE else ""
    warnings = dict.fromkeys(line for replay in replays for line in replay.warnings(guest, PAGE_SIZE))
    return "\n".join(
        [
            f"# Recorded conversions, by gmemsim import {replays[0].format}; the log holds them, not this file.",
            *(f"#   WARNING: {line}" for line in warnings),
            *(f"#   {line}" for line in _remarks(replays, guest)),
            "# Policy and host are not in the log: these are gmemsim's defaults, with all memory allocated first.",
            "gmemsim: 1",
            f"title: {_quoted(f'Replay of {_shown(Path(file).name)}')}",
            f"host: {{{pool}}}",
            "guests:",
            *(f"  - {{name: {replay.guest}, memory: {memory}, backing: {backing}}}" for replay in replays),
            "workload:",
            *(f"  - allocate: {{guest: {replay.guest}, offset: 0, size: {memory}}}" for replay in replays),
            *_replay_steps(replays, guest, file),
            "expect:",
            "  - {metric: conversions.failed.EINVAL, eq: 0}  # `holds` above notices a log that has changed",
            "",
        ]
    )


def _replay_steps(replays: list[Replay], guest: GuestSpec, file: str) -> Iterator[str]:
    """The lines of the replay, or of several side by side."""
    if len(replays) == 1:
        yield from (f"  {line}" for line in _replay_step(replays[0], guest, file))
        return
    yield from ("  - parallel:", "      steps:")
    for replay in replays:
        yield from (f"        {line}" for line in _replay_step(replay, guest, file))


def _replay_step(replay: Replay, guest: GuestSpec, file: str) -> Iterator[str]:
    from gmemsim.units import exact_duration, size_name

    keys = {
        "guest": replay.guest,
        "at": exact_duration(replay.at) if replay.at else None,
        "file": _quoted(file),
        "format": replay.format,
        "spacing": exact_duration(replay.spacing),
        "reorder": exact_duration(replay.reorder),
        "machine": replay.machine,
        "pid": replay.pid,
        "fd": replay.fd,
        "never_private": replay.never_private,
        "holds": replay.read(guest, PAGE_SIZE).tally.usable,
    }
    yield "- replay:"
    yield from (f"    {key}: {value}" for key, value in keys.items() if value is not None)
    yield "    slots:"
    for slot in replay.slots_of(guest):
        gpa, size, offset = map(size_name, (slot.gpa, slot.size, slot.offset))
        yield f"      - {{gpa: {gpa}, size: {size}, offset: {offset}}}"


def _shown(name: str) -> str:
    """The name of a file for people, on one line."""
    return name if name.isprintable() else ascii(name)


def _quoted(text: str) -> str:
    """``text`` as a double-quoted scalar of YAML."""
    shown = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(shown)}"'
