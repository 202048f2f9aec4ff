"""Shows a run: a live table on a terminal, structured lines in a log, and the summary at the end.

Reads a `Board`; writes progress to stderr and the summary to stdout. Decides nothing.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sources.fetch.values import ResourceStatus

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True, slots=True)
class Totals:
    """Totals of a run. Rates are averages over the run; `seconds_left` is None while it cannot be estimated.

    `rows` have been read, and `loaded` of them are in the database. `is_loading`: everything is read, and the rest is
    being loaded.
    """

    rows: int
    loaded: int
    requests: int
    seconds: float
    finished: int
    resources: int
    seconds_left: float | None
    is_loading: bool = False

    @property
    def rows_per_second(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def requests_per_second(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0.0


class Board:
    """The statuses of a run's resources: first what was read (`watch`), then what was committed (`settle`)."""

    def __init__(self, resources: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._committed = {name: ResourceStatus(name) for name in resources}
        self._read: Callable[[], Iterable[ResourceStatus]] = list
        self.loaded = 0

    def watch(self, read: Callable[[], Iterable[ResourceStatus]]) -> None:
        """Sets the function that returns the statuses of running resources. The display's thread calls it."""
        self._read = read

    def settle(self, statuses: Iterable[ResourceStatus]) -> None:
        """Sets committed statuses, which `read` no longer changes."""
        self._read = list
        self._committed |= {status.resource: status for status in statuses}

    def statuses(self) -> list[ResourceStatus]:
        """The statuses of all resources, in the order in which they were named."""
        return list((self._committed | {status.resource: status for status in self._read()}).values())

    def totals(self) -> Totals:
        """The totals. The time left is estimated from the share of the windows that is read.

        While the last package loads, it is None, because its rows do not show how long it takes.
        """
        statuses = self.statuses()
        seconds = self._clock() - self._started
        rows = sum(status.rows for status in statuses)
        shares = [1.0 if status.is_over else status.share or 0.0 for status in statuses]
        share = sum(shares) / len(shares) if shares else 1.0
        is_loading = share == 1.0 and rows > self.loaded
        return Totals(
            rows=rows,
            loaded=self.loaded,
            requests=sum(status.requests for status in statuses),
            seconds=seconds,
            finished=sum(status.is_over for status in statuses),
            resources=len(statuses),
            seconds_left=seconds * (1 - share) / share if share > 0 and not is_loading else None,
            is_loading=is_loading,
        )


LOG_SECONDS = 15.0
ACTIVE_LINES = 12
WIDE = 110
"""The width of a terminal, in columns, from which the summary has room for reasons next to the numbers."""
FEW_SECONDS = 10.0
"""Below this many seconds, no number is shown, because the last rows still have to be loaded."""
logger = logging.getLogger("stripe_elt")


@contextmanager
def showing(board: Board) -> Iterator[None]:
    """Shows the board while the block runs: a live table on a terminal, otherwise a log line every 15 seconds."""
    if not logger.isEnabledFor(logging.INFO):  # --quiet
        yield
        return
    if sys.stderr.isatty():  # not if FORCE_COLOR claims that a pipe is a terminal
        from rich.console import Console
        from rich.live import Live

        if not (console := Console(stderr=True)).is_dumb_terminal:
            with Live(Active(board), console=console, refresh_per_second=4, transient=True):
                yield
            return
    over = threading.Event()
    thread = threading.Thread(target=_log_until, args=(board, over), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _log_until(board: Board, over: threading.Event) -> None:
    while not over.wait(LOG_SECONDS):
        logger.info(log_line(board.totals()))


def log_line(totals: Totals) -> str:
    """One line of `name=value` words."""
    left = "unknown" if totals.seconds_left is None else f"{totals.seconds_left:.0f}"
    return (
        f"event=progress rows={totals.rows} loaded={totals.loaded} rows_per_s={totals.rows_per_second:.0f}"
        f" requests={totals.requests} requests_per_s={totals.requests_per_second:.1f}"
        f" resources={totals.finished}/{totals.resources} seconds={totals.seconds:.0f} seconds_left={left}"
    )


class Active:
    """The content that rich renders at every refresh: the running resources and the totals."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def __rich__(self) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        totals = self._board.totals()
        table = Table(box=None, pad_edge=False)
        running = [status for status in self._board.statuses() if status.status == "running"]
        table.add_column("resource", no_wrap=True, min_width=_longest(running[:ACTIVE_LINES]))
        for heading in ("rows", "rows/s", "requests", "window"):
            table.add_column(heading, justify="right")
        for status in running[:ACTIVE_LINES]:
            rate = status.rows / totals.seconds if totals.seconds else 0.0
            table.add_row(
                status.resource, f"{status.rows:,}", f"{rate:,.0f}", f"{status.requests:,}", f"{status.share or 0:.0%}"
            )
        if len(running) > ACTIVE_LINES:
            table.add_row(f"… and {len(running) - ACTIVE_LINES} more")
        return Group(Text(_title(totals)), table) if running else Group(Text(_title(totals)))


def _title(totals: Totals) -> str:
    if totals.is_loading:
        left = ", loading the rest"
    elif totals.seconds_left is None:
        left = ""
    else:
        few = totals.seconds_left < FEW_SECONDS
        left = ", a few seconds left" if few else f", about {_duration(totals.seconds_left)} left"
    return (
        f"{totals.finished}/{totals.resources} resources read, {totals.rows:,} rows ({totals.rows_per_second:,.0f}/s),"
        f" {totals.loaded:,} loaded, {totals.requests:,} requests ({totals.requests_per_second:.1f}/s){left}"
    )


def print_summary(board: Board, *, all_lines: bool = True) -> None:
    """Prints the summary on stdout: resource, rows, requests, seconds, and why a resource was skipped or failed."""
    from rich.console import Console
    from rich.table import Table

    shown = [status for status in board.statuses() if all_lines or status.rows or status.status != "complete"]
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160, highlight=False)
    is_wide = console.width >= WIDE
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1) if is_wide else (0, 1, 0, 0))
    table.add_column("resource", no_wrap=True, min_width=_longest(shown))
    for heading in ("rows", "requests", "seconds", "status"):
        table.add_column(heading, justify="left" if heading == "status" else "right", no_wrap=True)
    if is_wide:
        table.add_column("why", overflow="fold")
    for status in shown:
        table.add_row(*_cells(status)[: len(table.columns)])
    totals = board.totals()
    table.add_section()
    table.add_row("total", f"{totals.rows:,}", f"{totals.requests:,}", f"{totals.seconds:.1f}")
    with console.capture() as captured:
        console.print(table)
        for status in shown if not is_wide else ():
            if status.error:
                console.print(f"{status.resource}: {status.error}", markup=False)
    print(*(line.rstrip() for line in captured.get().splitlines()), sep="\n")


def _longest(statuses: Iterable[ResourceStatus]) -> int:
    """The width of a column in which no name is cut, because two cut names can look the same."""
    return max((len(status.resource) for status in statuses), default=0)


def _cells(status: ResourceStatus) -> tuple[str, ...]:
    return (
        status.resource,
        f"{status.rows:,}",
        f"{status.requests:,}",
        f"{status.seconds:.1f}",
        status.status,
        status.error or "",
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
