# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from gmemsim.reports.screen import run as text
from gmemsim.reports.words import found, modelled_time

from . import fakes


def shown(summary: dict[str, Any], *, width: int = 80, colour: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=colour, color_system="truecolor" if colour else None)
    console.print(text.render(fakes.FakeResult(fakes.headline().timeline, summary)))
    return out.getvalue()


def row(screen: str, name: str) -> list[str]:
    return next(line for line in screen.splitlines() if line.startswith(name)).removeprefix(name).split()


def test_accounts_show_counts_in_full_and_bytes_in_human_units() -> None:
    screen = shown(fakes.summary())
    assert row(screen, "filemap_nodes") == ["1", "4,162", "4,162", "576", "B", "2.29", "MiB"]
    assert row(screen, "total") == ["18", "8,788", "8,789", "64.8", "KiB", "20.3", "MiB"]


def test_estimates_are_marked_and_explained() -> None:
    screen = shown(fakes.summary())
    assert "≈ attributes" in screen
    assert "modelled time ≈ 2.2 ms, cost profile default: vmemmap 2.1 ms, nodes 130 µs" in screen
    assert "≈ marks estimates" in screen


def test_accounts_that_were_never_used_are_left_out() -> None:
    assert "memdesc" not in shown(fakes.summary())
    assert "No account held any memory." in shown(fakes.summary(accounts=fakes.accounts()))


def test_conversions_splits_merges_and_folios() -> None:
    screen = shown(fakes.summary(splits={"1G->2M": 1, "2M->4K": 3}, merges={}))
    assert "conversions  3 requested, 2 succeeded, 1 failed (1×EAGAIN)" in screen
    assert "splits       1×1G->2M, 3×2M->4K" in screen
    assert "merges       none" in screen
    assert row(screen, "folios") == ["2×1G"]


def test_expectations_say_what_was_wanted_and_found() -> None:
    expect = [
        {"metric": "filemap_nodes.peak", "op": "eq", "expected": 4162, "ok": True, "value": 4162},
        {
            "metric": "splits.1G->4K",
            "op": "approx",
            "expected": 622,
            "rel": 0.05,
            "ok": False,
            "value": 0.5,
            "after": "boot",
        },
    ]
    screen = shown(fakes.summary(expect=expect))
    assert row(screen, "filemap_nodes.peak = 4,162") == ["4,162", "pass"]
    assert row(screen, "splits.1G->4K ≈ 622 within 5 % after boot") == ["0.5", "FAIL"]
    assert "1 of 2 expectations hold" in screen


def test_expectations_without_their_operator_are_still_listed() -> None:
    assert row(shown(fakes.summary()), "filemap_nodes.live") == ["1", "FAIL"]


def test_guests_are_listed_if_there_are_several() -> None:
    assert "guest" not in shown(fakes.summary())
    screen = shown(fakes.summary(guests=[fakes.guest("a"), fakes.guest("b")]))
    assert row(screen, "a ") == ["2", "3", "4", "0", "576", "B", "41.6", "KiB"]
    assert row(screen, "b ") == ["2", "3", "4", "0", "576", "B", "41.6", "KiB"]


def test_very_many_guests_are_cut_with_a_hint() -> None:
    guests = [fakes.guest(f"vm-{i}") for i in range(text.MOST_GUESTS + 16)]
    screen = shown(fakes.summary(guests=guests))
    assert "… and 16 more guests (at most 41.6 KiB and 3 failed each): --json shows all" in screen
    assert "vm-23" in screen
    assert "vm-24" not in screen


def test_of_very_many_guests_those_in_which_something_failed_are_listed() -> None:
    guests = [fakes.guest(f"vm-{i}") for i in range(text.MOST_GUESTS + 16)]
    guests[-1]["conversions"] = {"requested": 9, "succeeded": 0, "failed": {"ENOMEM": 9}}
    screen = shown(fakes.summary(guests=guests))
    assert row(screen, f"vm-{len(guests) - 1}")[:2] == ["0", "9"]
    assert "… and 39 more guests (at most 41.6 KiB and 3 failed each): --json shows all" in screen


def test_what_the_host_itself_holds_has_a_row_beside_the_guests() -> None:
    held = {"vmemmap_page_tables": fakes.row(2, 3, 3, 4096), "total": fakes.row(2, 3, 3, 4096)}
    screen = shown(fakes.summary(guests=[fakes.guest("a"), fakes.guest("b")], host_accounts=held))
    assert row(screen, "host itself") == ["8.00", "KiB", "12.0", "KiB"]


@pytest.mark.parametrize("colour", [False, True])
def test_it_fits_80_columns_without_losing_a_digit(colour: bool) -> None:
    big = fakes.row(1 << 30, 1 << 33, 9_999_999_999)
    names = [fakes.guest("a-name-that-is-much-longer-than-names-should-be-" * 2 + str(i)) for i in range(3)]
    failing = [
        {
            "metric": "accounts.vmemmap_page_tables.peak_bytes",
            "op": "le",
            "expected": 10**13,
            "ok": False,
            "value": 10**14,
        }
    ]
    screen = shown(
        fakes.summary("A title of many words " * 9, guests=names, expect=failing, accounts=fakes.accounts(memdesc=big))
    )
    assert max(map(len, screen.splitlines())) <= 80
    assert row(screen, "memdesc")[:3] == ["1,073,741,824", "8,589,934,592", "9,999,999,999"]
    assert "100,000,000,000,000" in screen
    assert "…" not in screen
    coloured = shown(fakes.summary(expect=failing), colour=True)
    assert "\x1b[" not in screen
    assert "\x1b[" in coloured


def test_titles_are_not_markup() -> None:
    assert "[bold]x[/nothing]" in shown(fakes.summary("[bold]x[/nothing]"))


def test_what_went_wrong_without_an_errno_is_shown_and_only_then() -> None:
    assert "gone wrong" not in shown(fakes.summary(outcomes={"rollback_failures": 0}))
    screen = shown(fakes.summary(outcomes={"rollback_failures": 2, "optimise_failures": 0, "inconsistent_pages": 512}))
    assert "gone wrong   2×rollback failures, 512×inconsistent pages" in screen


def test_the_cost_profile_is_named() -> None:
    estimates = {"modelled_time_ns": {"profile": "roth-snp-2025"}}
    assert "2.2 ms, cost profile roth-snp-2025: vmemmap" in shown(fakes.summary(estimates=estimates))


def test_a_partial_run_says_so_above_everything() -> None:
    assert "PARTIAL: interrupted before its end" in shown(fakes.summary(partial=True)).partition("conversions")[0]
    assert "PARTIAL" not in shown(fakes.summary())


def test_a_time_has_two_digits_a_band_and_what_is_not_in_it() -> None:
    told = {
        "profile": "default",
        "at_least": 1_234_567.0,
        "at_most": 9_876_543.0,
        "not_priced": {"rmp_updates": 512, "kicks": 0},
        "leaves_out": "3 million calls",
        "prices": {"psmashes": 1000.0},
    }
    screen = shown(fakes.summary(estimates={"modelled_time_ns": told}))
    assert "modelled time ≈ 2.2 ms (1.2 ms to 9.9 ms), cost profile default" in screen
    note = "own prices of psmashes; not priced: 512 rmp_updates; left out: 3 million calls"
    assert note in screen.replace("\n", " ")
    nothing = fakes.summary(estimates={"modelled_time_ns": told}, modelled_time_ns={"total": 0.0})
    assert "not priced: 512 rmp_updates" in shown(nothing)


@pytest.mark.parametrize(
    ("ns", "words"),
    [(27_345_678, "27 ms"), (999_600, "1 ms"), (137_000, "140 µs"), (1, "1 ns"), (0, "0 ns"), (12.4, "12 ns")],
)
def test_modelled_times_have_two_digits(ns: float, words: str) -> None:
    assert modelled_time(ns) == words


def test_an_expected_time_is_found_in_two_digits() -> None:
    verdict = {"metric": "modelled_time_ns.total", "value": 27_345_678.9}
    assert found(verdict) == "27 ms"
