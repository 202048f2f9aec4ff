"""What a run shows of itself: the numbers, the live table, the line of a log, the table at the end."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from pipelines.terminal.display import Active, Board, _title, log_line, print_summary
from sources.fetch.values import ResourceStatus
from sources.stripe_api.catalogue import select

READ = ResourceStatus("charges", "complete", requests=3, rows=300, share=1.0, seconds=2.0)
READING = ResourceStatus("customers", "running", requests=2, rows=200, share=0.5, seconds=2.0)


def board(*read: ResourceStatus, seconds: float = 10.0) -> Board:
    moments = iter([0.0, *[seconds] * 9])
    made = Board(["customers", "charges"], clock=lambda: next(moments))
    made.watch(lambda: read)
    return made


def test_time_left_is_reckoned_from_the_windows_while_they_are_read() -> None:
    totals = board(READING, READ).totals()
    assert (totals.rows, totals.requests, totals.finished, totals.rows_per_second) == (500, 5, 1, 50.0)
    assert totals.seconds_left == pytest.approx(10 * 0.25 / 0.75)


def test_when_all_is_read_it_says_that_the_rest_is_loaded_and_no_time() -> None:
    told = board(replace(READING, status="complete", share=1.0), READ)
    told.loaded = 499
    assert (told.totals().seconds_left, told.totals().is_loading) == (None, True)
    assert _title(told.totals()).endswith("loading the rest")
    told.loaded = 500
    assert (told.totals().seconds_left, told.totals().is_loading) == (0, False)


def test_a_time_below_ten_seconds_is_no_number() -> None:
    assert _title(board(READING, READ).totals()).endswith(", a few seconds left")
    assert _title(board(READING, READ, seconds=60.0).totals()).endswith(", about 20 s left")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_live_table_names_what_runs_and_fits_the_terminal(width: int) -> None:
    console = Console(width=width, record=True, file=None, force_terminal=False, quiet=False, stderr=True)
    with console.capture() as captured:
        console.print(Active(board(READING, READ)))
    shown = captured.get()
    assert max(map(len, shown.splitlines())) <= width
    words = " ".join(shown.split())
    assert "1/2 resources read, 500 rows (50/s), 0 loaded, 5 requests (0.5/s), a few seconds left" in words
    assert "customers 200 20 2 50%" in words
    assert "charges" not in words


def test_line_of_a_log_is_name_and_value() -> None:
    words = dict(word.split("=") for word in log_line(board(READING, READ).totals()).split())
    assert (words["event"], words["rows"], words["resources"], words["seconds_left"]) == ("progress", "500", "1/2", "3")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_no_name_is_cut_on_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [resource.name for resource in select(["all"])]
    told = Board(names)
    told.settle([ResourceStatus(name, "skipped", rows=24_423, requests=387, error="not given " * 9) for name in names])
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stdout", Terminal())
    print_summary(told)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", sys.stdout.getvalue())  # type: ignore[attr-defined]
    assert [name for name in names if not re.search(rf"^{name} +24,423 +387 +0.0 skipped$", shown, re.MULTILINE)] == []
    assert max(map(len, shown.splitlines())) <= 80
    assert "customers: not given not given" in shown


def test_summary_in_a_pipe_has_no_spaces_at_line_ends(capsys: pytest.CaptureFixture[str]) -> None:
    told = board()
    told.settle([ResourceStatus("customers", "skipped", {}, error="not given")])
    print_summary(told)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert lines[1].split() == ["customers", "0", "0", "0.0", "skipped", "not", "given"]
