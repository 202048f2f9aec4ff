"""What a run shows of itself: the numbers, the live table, the line of a log, the table at the end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from pipelines.loading.display import Active, Board, log_line, print_summary
from sources.fetch.values import ResourceStatus

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


def test_when_all_is_read_the_time_left_is_that_of_the_rows_that_wait_for_the_database() -> None:
    told = board(replace(READING, status="complete", share=1.0), READ)
    assert told.totals().seconds_left is None
    told.loaded = 400
    assert told.totals().seconds_left == pytest.approx(2.5)
    told.loaded = 500
    assert told.totals().seconds_left == 0


@pytest.mark.parametrize("width", [40, 80, 200])
def test_live_table_names_what_runs_and_fits_the_terminal(width: int) -> None:
    console = Console(width=width, record=True, file=None, force_terminal=False, quiet=False, stderr=True)
    with console.capture() as captured:
        console.print(Active(board(READING, READ)))
    shown = captured.get()
    assert max(map(len, shown.splitlines())) <= width
    words = " ".join(shown.split())
    assert "1/2 resources read, 500 rows (50/s), 0 loaded, 5 requests (0.5/s), about 3 s left" in words
    assert "customers 200 20 2 50%" in words
    assert "charges" not in words


def test_line_of_a_log_is_name_and_value() -> None:
    words = dict(word.split("=") for word in log_line(board(READING, READ).totals()).split())
    assert (words["event"], words["rows"], words["resources"], words["seconds_left"]) == ("progress", "500", "1/2", "3")


def test_summary_in_a_pipe_has_no_spaces_at_line_ends(capsys: pytest.CaptureFixture[str]) -> None:
    told = board()
    told.settle([ResourceStatus("customers", "skipped", {}, error="not given")])
    print_summary(told)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert lines[1].split() == ["customers", "0", "0", "0.0", "skipped", "not", "given"]
