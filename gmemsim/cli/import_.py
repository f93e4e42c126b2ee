# SPDX-License-Identifier: GPL-2.0-or-later
"""``gmemsim import``: a scenario from a recorded log of conversions.

The scenario refers to the log through a ``replay`` step and does not contain it, so that a log of gigabytes stays a
log.  What the log holds, what of it cannot be used and which slots are assumed stands in the scenario as comments and
on the screen.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from gmemsim.cli.group import SuggestingGroup
from gmemsim.cli.outputs import check_free, write_all
from gmemsim.cli.parameters import size_parameter
from gmemsim.errors import Fault, InputError

if TYPE_CHECKING:
    from gmemsim.scenario.generators import Replay
    from gmemsim.scenario.logs.slots import Slot
    from gmemsim.scenario.model import GuestSpec

GUEST = "vm0"
"""What an imported scenario calls its guest."""

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
        help="Memory at a guest-physical address and where it is in the guest_memfd (may be repeated); default: a q35 "
        "machine of --memory, which has a hole below 4G from 2816M on.",
    ),
    click.option(
        "--spacing", callback=_read_duration, default="1ms", show_default=True, help="Between events without a time."
    ),
    click.option(
        "--reorder", callback=_read_duration, default="0", show_default=True, help="How far times may go back."
    ),
    click.option("--pid", type=click.IntRange(min=0), help="Only the events of this process."),
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
    (PID@SECONDS.MICROS:) become simulated time from the first event on. Lines that cannot be used are counted.

    \b
    Examples:
      qemu-system-x86_64 -trace kvm_convert_memory -D conversions.log ...
      gmemsim import qemu conversions.log -o conversions.yaml --memory 16G --backing 1G
      gmemsim import qemu old.log.gz -o old.yaml --slot 0:3G:0 --slot 4G:5G:3G --spacing 10us
    """
    _import("qemu", log, output, force=force, **settings)


@import_.command()
@_options
def bpftrace(log: Path, output: Path, force: bool, **settings: Any) -> None:
    """Make a scenario of LOG, recorded on a running host by the one-liner below.

    It prints every call that sets KVM's memory attributes, of all processes: choose one with --pid. bpftrace collects
    what each CPU prints by itself, so allow times to go back a little with --reorder.

    \b
    bpftrace -q -e 'tracepoint:syscalls:sys_enter_ioctl /args->cmd == 0x4020aed2/ {
      $a = args->arg;
      printf("%d@%llu.%06llu:kvm_set_memory_attributes start 0x%llx size 0x%llx attributes 0x%llx\\n",
        pid, nsecs / 1000000000, nsecs % 1000000000 / 1000,
        *(uint64 *)uptr($a), *(uint64 *)uptr($a + 8), *(uint64 *)uptr($a + 16)); }' > attributes.log

    \b
    Example:
      gmemsim import bpftrace attributes.log -o host.yaml --pid 4711 --reorder 1ms
    """
    _import("bpftrace", log, output, force=force, **settings)


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

    _check_sizes(memory, backing)
    check_free(output.parent, [output.name], force=force)
    if output.exists() and log.exists() and output.samefile(log):
        raise InputError([Fault(str(output), 0, 0, "found the log itself, expected another file for the scenario")])
    guest = GuestSpec(name=GUEST, memory=memory, backing=backing)
    replay = Replay(guest=GUEST, file=str(log), format=format, slots=slots, **settings)
    problems = list(replay.problems(guest, PAGE_SIZE))
    if problems:
        raise InputError(Fault(str(log) if key == "file" else "--slot", 0, 0, text) for key, text in problems)
    remarks = [_slots_in_words(replay, guest), *replay.read(guest, PAGE_SIZE).remarks()]
    try:
        parse_scenario(_scenario(replay, guest, remarks, str(log.resolve())))  # such as a name that is too long
    except InputError as error:  # the output is not there, so what is wrong is said of the log
        raise InputError(attrs.evolve(fault, source=str(log), line=0, column=0) for fault in error.faults) from None
    text = _scenario(replay, guest, remarks, os.path.relpath(log.resolve(), output.parent.resolve()))
    write_all(output.parent, {output.name: lambda path: _write_text(path, text)}, force=force)
    for line in (*remarks, f"wrote {output}"):
        click.echo(line)


def _check_sizes(memory: int, backing: int) -> None:
    """Usage errors for a guest that cannot be."""
    from gmemsim.geometry import Geometry
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
    given = "as given" if replay.slots is not None else "assumed, as on q35"
    return f"slots (GPA:SIZE:OFFSET, {given}): {' '.join(map(str, replay.slots_of(guest)))}"


def _scenario(replay: Replay, guest: GuestSpec, remarks: list[str], file: str) -> str:
    """The text of the scenario, which refers to the log as ``file``."""
    from gmemsim.units import size_name

    memory, backing = size_name(guest.memory), size_name(guest.backing)
    pool = f"hugetlb: {{{backing}: {guest.memory // guest.backing}}}" if guest.backing > PAGE_SIZE else ""
    keys = [
        f"file: {_quoted(file)}",
        f"format: {replay.format}",
        f"spacing: {_duration(replay.spacing)}",
        *([f"reorder: {_duration(replay.reorder)}"] if replay.reorder else []),
        *([f"pid: {replay.pid}"] if replay.pid is not None else []),
        "slots:",
    ]
    slots = (
        f"- {{gpa: {size_name(slot.gpa)}, size: {size_name(slot.size)}, offset: {size_name(slot.offset)}}}"
        for slot in replay.slots_of(guest)
    )
    return "\n".join(
        [
            f"# Recorded conversions, by gmemsim import {replay.format}; the log holds them, not this file.",
            *(f"#   {line}" for line in remarks),
            "# Policy and host are not in the log: these are gmemsim's defaults, with all memory allocated first.",
            "gmemsim: 1",
            f"title: {_quoted(f'Replay of {_shown(Path(file).name)}')}",
            f"host: {{{pool}}}",
            "guests:",
            f"  - {{name: {GUEST}, memory: {memory}, backing: {backing}}}",
            "workload:",
            f"  - allocate: {{guest: {GUEST}, offset: 0, size: {memory}}}",
            "  - replay:",
            f"      guest: {GUEST}",
            *(f"      {key}" for key in keys),
            *(f"        {slot}" for slot in slots),
            "expect:",
            f"  - {{metric: conversions.requested, eq: {replay.read(guest, PAGE_SIZE).usable}}}",
            "",
        ]
    )


def _shown(name: str) -> str:
    """The name of a file for people, on one line."""
    return name if name.isprintable() else ascii(name)


def _quoted(text: str) -> str:
    """``text`` as a double-quoted scalar of YAML."""
    shown = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(shown)}"'


def _duration(ns: int) -> str:
    """The shortest exact name of a time: ``1ms``."""
    from gmemsim.units import TIME_UNITS

    units = {size: name for name, size in TIME_UNITS.items() if name.isascii()}
    size = next(size for size in sorted(units, reverse=True) if ns % size == 0)
    return f"{ns // size}{units[size]}"


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
