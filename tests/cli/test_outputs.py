# SPDX-License-Identifier: GPL-2.0-or-later
"""Output files: all or none, never over existing ones unasked, whatever happens meanwhile."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from gmemsim.cli import outputs
from gmemsim.cli.exits import Terminated
from gmemsim.cli.main import gmemsim
from gmemsim.cli.outputs import Writer, check_free, write_all
from gmemsim.errors import InputError

fcntl = pytest.importorskip("fcntl")


def text(words: str) -> Writer:
    def write(path: Path) -> None:
        path.write_text(words)

    return write


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_a_file_that_appears_while_others_are_written_is_kept(tmp_path: Path) -> None:
    def intrude(path: Path) -> None:
        path.write_text("ours")
        (tmp_path / "b").write_text("theirs")

    with pytest.raises(InputError, match="found b already there"):
        write_all(tmp_path, {"a": intrude, "b": text("ours")})
    assert contents(tmp_path) == {"b": "theirs"}


def test_a_file_that_appears_while_files_are_published_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes no lock, such as another program, may be that quick."""
    link = os.link

    def intrude(file: Path, name: Path) -> None:
        if name.name == "b":
            name.write_text("theirs")
        link(file, name)

    monkeypatch.setattr(os, "link", intrude)
    for force in (False, True):
        (tmp_path / "b").unlink(missing_ok=True)
        if force:
            (tmp_path / "a").write_text("old")
        with pytest.raises(InputError, match="another program"):
            write_all(tmp_path, {"a": text("ours"), "b": text("ours")}, force=force)
        assert contents(tmp_path) == {"b": "theirs"} | ({"a": "old"} if force else {})


def test_two_runs_into_one_directory_leave_one_whole_set(tmp_path: Path) -> None:
    def other_run(path: Path) -> None:
        path.write_text("first")
        write_all(tmp_path, {"a": text("second"), "b": text("second")})

    with pytest.raises(InputError, match="found a, b already there"):
        write_all(tmp_path, {"a": other_run, "b": text("first")})
    assert contents(tmp_path) == {"a": "second", "b": "second"}


def test_a_file_system_without_links_does_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert write_all(tmp_path, {"a": text("new")}) == ("a",)
    assert contents(tmp_path) == {"a": "new"}
    with pytest.raises(InputError, match="a: found it already there"):
        write_all(tmp_path, {"a": text("newer")})


@pytest.mark.parametrize("target", ["nothing", "elsewhere"])
def test_a_link_is_there_and_force_replaces_the_link_only(tmp_path: Path, target: str) -> None:
    (tmp_path / "elsewhere").write_text("theirs")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").symlink_to(tmp_path / target)
    with pytest.raises(InputError, match="a: found it already there"):
        check_free(out, ["a"], force=False)
    with pytest.raises(InputError, match="a: found it already there"):
        write_all(out, {"a": text("new")})
    check_free(out, ["a"], force=True)
    write_all(out, {"a": text("new")}, force=True)
    assert contents(out) == {"a": "new"}
    assert not (out / "a").is_symlink()
    assert contents(tmp_path.joinpath("out")) == {"a": "new"}
    assert (tmp_path / "elsewhere").read_text() == "theirs"
    assert not (tmp_path / "nothing").exists()


def test_a_failure_with_force_leaves_the_old_set(tmp_path: Path) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    write_all(tmp_path, {"a": text("old"), "b": text("old")})
    with pytest.raises(OSError, match="No space"):
        write_all(tmp_path, {"a": text("new"), "b": full}, force=True)
    assert contents(tmp_path) == {"a": "old", "b": "old"}


@pytest.mark.parametrize("signal", [KeyboardInterrupt, Terminated])
def test_ctrl_c_keeps_what_is_complete_and_nothing_old_beside_it(
    tmp_path: Path, signal: type[KeyboardInterrupt]
) -> None:
    def interrupted(path: Path) -> None:
        path.write_text("half")
        raise signal

    write_all(tmp_path, {"summary": text("old"), "plot": text("old")})
    writers = {"summary": text("new"), "plot": interrupted}
    if signal is Terminated:
        with pytest.raises(Terminated):
            write_all(tmp_path, writers, force=True)
    else:
        assert write_all(tmp_path, writers, force=True) == ("summary",)
    assert contents(tmp_path) == {"summary": "new"}


def test_ctrl_c_before_anything_is_complete_writes_nothing(tmp_path: Path) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_all(tmp_path, {"a": interrupted, "b": text("new")})
    assert names(tmp_path) == []


def test_what_dead_runs_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    dead, young, used = (tmp_path / f"{outputs.PREFIX}{name}" for name in ("dead", "young", "used"))
    for directory in (dead, young, used):
        directory.mkdir()
        (directory / "half").write_text("")
    long_ago = time.time() - 2 * outputs.ABANDONED
    for directory in (dead, used):
        os.utime(directory, (long_ago, long_ago))
    holder = os.open(used, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        write_all(tmp_path, {"a": text("new")})
    finally:
        os.close(holder)
    assert names(tmp_path) == [used.name, young.name, "a"]


def test_an_impossible_directory_is_said_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    for directory, reason in (
        (tmp_path / "file", "found a file"),
        (tmp_path / "file" / "below" / "it", "Not a directory"),
        (tmp_path / "dangling", "a link to nothing"),
        (Path("/proc/gmemsim"), "nothing can be written there"),
    ):
        with pytest.raises(InputError, match=reason):
            check_free(directory, ["a"], force=False)
    assert names(tmp_path) == ["dangling", "file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_said_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(InputError, match="Permission denied"):
        check_free(tmp_path / "closed", ["a"], force=False)


@pytest.mark.parametrize(
    ("command", "name", "written"),
    [
        ("run rfc-cover", "x.tiff", ".parquet, .pftrace, .png, .svg, or"),
        ("run rfc-cover --figure map", "x.JPG", ".svg"),
        ("run rfc-cover --format csv", "x.pdf", ".csv, "),
        ("compare rfc-cover --policy staged", "x.gif", ".csv, .html, .json, .md, .png, .svg"),
        ("reserve", "x.html", ".csv, .json, .png, .svg"),
        ("sweep rfc-cover --vary seed=0..1 --vary policy=staged --vary host.rcu_grace=1s,2s", "x.png", ".csv, "),
    ],
)
def test_a_file_of_a_kind_that_is_not_written_is_refused_before_the_run(
    command: str, name: str, written: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(gmemsim, [*command.split(), "--out", str(tmp_path / name)])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert f"{name}: found the ending {Path(name).suffix.lower()}, which is not written here" in done.stderr
    assert written in done.stderr
    assert done.stderr.count("\n") == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["out.v2", "out.tiff/"])
def test_a_directory_may_have_a_dot(name: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(gmemsim, ["run", "rfc-cover", "--out", f"{tmp_path}/{name}"])
    assert done.exit_code == 0, done.stderr
    assert "summary.json" in names(tmp_path / name)
