"""What a run has done so far, resource by resource: numbers only, for whoever shows them. Knows no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from pipelines.state import ResourceStatus, Status
from sources.stripe_api.lanes import View


@dataclass(frozen=True, slots=True)
class Line:
    """One resource. `share` is the part of its window that is read, 0 to 1; `note`: why it was skipped or failed."""

    resource: str
    status: Status = "queued"
    rows: int = 0
    requests: int = 0
    seconds: float = 0.0
    share: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """The whole run. Rates are over the whole run; `seconds_left` is None until there is something to reckon from.

    `rows` have been read, and `loaded` of them are in the database.
    """

    rows: int
    loaded: int
    requests: int
    seconds: float
    finished: int
    resources: int
    seconds_left: float | None

    @property
    def rows_per_second(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def requests_per_second(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0.0


class Board:
    """The lines of a run: while it goes on from what paging says (`watch`), then from what was committed (`settle`)."""

    def __init__(self, resources: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._lines = {name: Line(name) for name in resources}
        self._views: Callable[[], Iterable[View]] = list
        self.loaded = 0

    def watch(self, views: Callable[[], Iterable[View]]) -> None:
        """Where the lines of running resources come from, from now on. Called from a display's thread."""
        self._views = views

    def settle(self, statuses: Iterable[ResourceStatus]) -> None:
        """What is committed, which no view changes any more."""
        self._views = list
        for one in statuses:
            share = 1.0 if one.status == "complete" else 0.0
            self._lines[one.resource] = Line(
                one.resource, one.status, one.rows, one.requests, one.seconds, share, one.error or ""
            )

    def lines(self) -> list[Line]:
        """All lines, in the order in which the resources were named."""
        lines = dict(self._lines)
        for view in self._views():
            lines[view.resource] = replace(
                lines[view.resource],
                status=view.state,
                rows=view.rows,
                requests=view.requests,
                seconds=view.seconds,
                share=view.share or 0.0,
            )
        return list(lines.values())

    def totals(self) -> Totals:
        """Sums, and the time left by the share of the windows that is read, then of rows that are loaded."""
        lines = self.lines()
        seconds = self._clock() - self._started
        rows = sum(line.rows for line in lines)
        share = sum(1.0 if _is_over(line) else line.share for line in lines) / len(lines) if lines else 1.0
        if share == 1.0 and rows > self.loaded:
            share = self.loaded / rows
        return Totals(
            rows=rows,
            loaded=self.loaded,
            requests=sum(line.requests for line in lines),
            seconds=seconds,
            finished=sum(map(_is_over, lines)),
            resources=len(lines),
            seconds_left=seconds * (1 - share) / share if share > 0 else None,
        )


def _is_over(line: Line) -> bool:
    return line.status in ("complete", "error", "skipped")
